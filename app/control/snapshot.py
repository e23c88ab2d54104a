"""The table's next snapshot, from what is desired and what is there."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from semver import Version

from app.control.desired import Desired
from app.serving.lifecycle import State, VersionKey
from app.serving.servable import Servable
from app.serving.table import ServedModel, VersionStatus
from app.serving.variants import VariantStatus


@dataclass(frozen=True, slots=True)
class KnownVariants:
    """What there is to tell of a version's variants: of each one, and of those that should serve and do not."""

    statuses: tuple[VariantStatus, ...] = ()
    notes: tuple[str, ...] = ()


_NOTHING_KNOWN: Mapping[VersionKey, KnownVariants] = MappingProxyType({})


def labels_answering(
    desired: Desired, before: Mapping[tuple[str, str], VersionKey], servables: Mapping[VersionKey, Servable]
) -> dict[tuple[str, str], VersionKey]:
    """The version that answers under each label: the one it points at, or the one before while that is not loaded."""
    answering = {}
    for label, points_at in desired.labels.items():
        for key in (points_at, before.get(label)):
            if key is not None and key in servables:
                answering[label] = key
                break
    return answering


def snapshot(
    desired: Desired,
    states: Mapping[VersionKey, State],
    failures: Mapping[VersionKey, str],
    servables: Mapping[VersionKey, Servable],
    labels: Mapping[tuple[str, str], VersionKey],
    unloaded: Collection[str],
    variants: Mapping[VersionKey, KnownVariants] = _NOTHING_KNOWN,
) -> dict[str, ServedModel]:
    """Every model that is desired or still there, by folded name; nothing answers for an unloaded one."""
    keys = list(dict.fromkeys([*desired.versions, *servables]))
    names = {key.model: servable.identity.model for key, servable in servables.items()} | desired.names
    models = {}
    for model, name in names.items():
        of_model = sorted((key for key in keys if key.model == model), key=lambda key: Version.parse(key.version))
        models[model] = ServedModel(
            name,
            {Version.parse(key.version): servables[key] for key in of_model if key in servables},
            {label: servables[key] for (owner, label), key in labels.items() if owner == model},
            tuple(
                _status_of_unloaded(key, states)
                if model in unloaded
                else _status(key, states, failures, servables, variants.get(key, KnownVariants()))
                for key in reversed(of_model)
            ),
            frozenset(label for owner, label in desired.labels if owner == model and (owner, label) not in labels),
            unloaded=model in unloaded,
        )
    return models


def _status_of_unloaded(key: VersionKey, states: Mapping[VersionKey, State]) -> VersionStatus:
    """It is on its way out or at the end, whatever failed before."""
    state = states.get(key, State.END)
    return VersionStatus(key.version, State.UNLOADING if state is State.AVAILABLE else state, "unloaded on request")


def _status(
    key: VersionKey,
    states: Mapping[VersionKey, State],
    failures: Mapping[VersionKey, str],
    servables: Mapping[VersionKey, Servable],
    known: KnownVariants,
) -> VersionStatus:
    failure = failures.get(key)
    servable = servables.get(key)
    message = failure or "; ".join((*known.notes, *(servable.notes if servable else ())))
    return VersionStatus(
        key.version, states.get(key, State.START), message, failed=failure is not None, variants=known.statuses
    )
