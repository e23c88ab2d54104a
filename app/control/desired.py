"""What the store asks to be served, in the order of importance."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from semver import Version

from app.serving.lifecycle import VersionKey
from app.serving.table import folded
from app.settings import Settings
from model_store.records import VersionRecord
from model_store.store import Store


@dataclass(frozen=True, slots=True)
class Desired:
    """A reading of the store. Models are keyed by their folded names."""

    names: dict[str, str] = field(default_factory=dict)
    """Model -> the name as it was published, or as it was asked for when it is not published yet."""
    versions: dict[VersionKey, VersionRecord] = field(default_factory=dict)
    """Most important first: of every model the version that answers by default, then labelled ones, then the rest."""
    labels: dict[tuple[str, str], VersionKey] = field(default_factory=dict)
    """(model, label) -> the version it points at."""


def desired(store: Store, settings: Settings) -> Desired:
    """Read the store: every version that is not retired, of every model or of those that were asked for."""
    published = {folded(name): name for name in store.models()}
    asked = {folded(name): name for name in settings.model} or published
    names = {model: published.get(model, name) for model, name in asked.items()}
    ranked: list[tuple[int, VersionKey, VersionRecord]] = []
    labels: dict[tuple[str, str], VersionKey] = {}
    for model, name in names.items():
        if model not in published:
            continue
        record_of_model = store.model(name)
        of_model = {label: VersionKey(model, version) for label, version in record_of_model.labels.items()}
        labels |= {(model, label): key for label, key in of_model.items()}
        living = [record for record in record_of_model.versions if not record.retired]
        newest_first = sorted(living, key=_precedence, reverse=True)
        for place, record in enumerate(newest_first):
            key = VersionKey(model, record.version)
            rank = 0 if place == 0 else 1 if key in of_model.values() else 2
            ranked.append((rank, key, record))
    ranked.sort(key=lambda entry: entry[0])
    return Desired(names, {key: record for _, key, record in ranked}, labels)


def wanted(desired: Desired, answering: Iterable[VersionKey], unloaded: Collection[str]) -> list[VersionKey]:
    """What is to be loaded, the most important first, and after it what is to stay: versions that answer under a label.

    Nothing of the models that were unloaded on purpose, whatever is published or labelled meanwhile.
    """
    return [key for key in [*desired.versions, *answering] if key.model not in unloaded]


def _precedence(record: VersionRecord) -> tuple[bool, Version]:
    """Released versions above pre-releases, which answer only when they are named."""
    version = Version.parse(record.version)
    return version.prerelease is None, version
