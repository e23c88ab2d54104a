"""What is served right now: an immutable snapshot that is swapped in one assignment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from semver import Version

from app.errors import LabelNotFound, ModelNotFound, ModelUnloaded, NotReady
from app.serving.lifecycle import State
from app.serving.servable import Servable
from app.serving.variants import VariantStatus


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """Where a version stands in its life; `message` says why it failed, is restricted or was unloaded."""

    version: str
    state: State
    message: str = ""
    failed: bool = False
    variants: tuple[VariantStatus, ...] = ()
    """The published one first."""


def folded(name: str) -> str:
    """What a model is known under: its name, without regard to case in ASCII, which is all that the store takes.

    Elsewhere case makes aliases: the sign of Kelvin is a `k` to Python.
    """
    return name.lower() if name.isascii() else name


def is_meant(text: str, version: str) -> bool:
    """Whether `text` is this version, or a prefix such as `1` or `1.2` of it where it is released."""
    return version == text or ("-" not in version and f"{version}.".startswith(f"{text}."))


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model: what can answer, and what is to be told about the rest.

    `labels` name the servables that answer under them; a label whose new version cannot be loaded stays with the
    old one. `versions` is in ascending order.
    """

    name: str
    versions: Mapping[Version, Servable]
    labels: Mapping[str, Servable] = field(default_factory=dict)
    statuses: tuple[VersionStatus, ...] = ()
    labels_to_come: frozenset[str] = frozenset()
    """Labels whose version is not loaded, and which had none before."""
    unloaded: bool = False
    """Whether somebody asked that nothing of it be served."""

    @property
    def default(self) -> Servable | None:
        """The highest released version that is loaded; a pre-release only where nothing is released."""
        released = [v for v in self.versions if v.prerelease is None]
        return self.versions[max(released or self.versions)] if self.versions else None

    @property
    def ready(self) -> bool:
        """Whether a request without a version is answered."""
        return self.default is not None

    def select(self, version: str | None = None, label: str | None = None) -> Servable:
        """The servable that a request names. Raises ModelUnloaded, NotReady, LabelNotFound or ModelNotFound."""
        if self.unloaded:
            raise ModelUnloaded(
                f"model '{self.name}' was unloaded: POST /v2/repository/models/{self.name}/load loads it"
            )
        if label is not None:
            found = self.labels.get(label)
            if found is None and label in self.labels_to_come:
                raise NotReady(f"what label '{label}' of model '{self.name}' points at is not loaded: try again soon")
            if found is None:
                known = ", ".join(sorted(self.labels)) or "none"
                raise LabelNotFound(f"unrecognized version label '{label}' of model '{self.name}': it has {known}")
            return found
        if version is not None:
            found = self._matching(version)
            if found is None:
                raise self._no_version(version)
            return found
        if (found := self.default) is None:
            raise NotReady(self._why_not_ready())
        return found

    def variants_of(self, servable: Servable) -> tuple[VariantStatus, ...]:
        """All variants of the version that this one answers for."""
        number = servable.identity.version
        return next((status.variants for status in self.statuses if status.version == number), ())

    def _matching(self, text: str) -> Servable | None:
        """An exact version, or the highest released one that a prefix such as `1` or `1.2` means."""
        fits = [version for version in self.versions if is_meant(text, str(version))]
        return self.versions[max(fits)] if fits else None

    def _no_version(self, text: str) -> Exception:
        meant = [status for status in self.statuses if is_meant(text, status.version)]
        for status in meant:
            if not status.failed and status.state in (State.START, State.LOADING):
                return NotReady(f"model '{self.name}' version {status.version} is loading: try again soon")
        for status in meant:
            if status.failed:
                return ModelNotFound(
                    f"model '{self.name}' version {status.version} could not be loaded: {status.message}"
                )
        served = ", ".join(map(str, self.versions)) or "none yet"
        return ModelNotFound(f"model '{self.name}' has no version '{text}' here; served: {served}")

    def _why_not_ready(self) -> str:
        failures = [f"{s.version}: {s.message}" for s in self.statuses if s.failed]
        if failures:
            return f"model '{self.name}' has no version that could be loaded: {'; '.join(failures)}"
        if not self.statuses:
            return f"model '{self.name}' is not in the store yet: publish it, and it will be served"
        return f"model '{self.name}' is loading: try again soon"


EMPTY: Mapping[str, ServedModel] = MappingProxyType({})


class Table:
    """The one reference to the current snapshot. Read and replaced on the event loop's thread only."""

    def __init__(self) -> None:
        self.models: Mapping[str, ServedModel] = EMPTY
        """Model by folded name. A new mapping means that something changed."""
        self.complete = False
        """Whether every model to be served was looked at, and what can be loaded is."""

    @property
    def to_be_served(self) -> list[ServedModel]:
        """Every model but those that were unloaded on purpose, by name."""
        return sorted((model for model in self.models.values() if not model.unloaded), key=lambda model: model.name)

    def select(self, name: str, version: str | None = None) -> Servable:
        """The servable for a request. Raises as `ServedModel.select`."""
        return self.model(name).select(version)

    def model(self, name: str) -> ServedModel:
        """The model of that name. Raises ModelNotFound, or NotReady while the store was not looked at yet."""
        found = self.models.get(folded(name))
        if found is None:
            if not self.complete:
                raise NotReady(f"the server is starting, model '{name}' may come: try again soon")
            known = ", ".join(model.name for model in self.to_be_served) or "none"
            raise ModelNotFound(f"no model '{name}' is served here; served: {known}")
        return found
