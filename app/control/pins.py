"""Variants that requests named, loaded beside those that answer by default: which to load, which to let go."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from app.serving.lifecycle import VersionKey


@dataclass(frozen=True, slots=True)
class PinKey:
    """A variant of a version."""

    version: VersionKey
    variant: str


@dataclass(frozen=True, slots=True)
class LoadPin:
    """Load this variant beside what answers for its version."""

    key: PinKey


@dataclass(frozen=True, slots=True)
class DropPin:
    """Drain it and free it."""

    key: PinKey


def next_pin_action(
    asked: Collection[PinKey],
    loaded: Mapping[PinKey, float],
    may_stay: Collection[PinKey],
    most_of_model: Mapping[str, int],
    *,
    is_busy: bool,
) -> LoadPin | DropPin | None:
    """What to do next about pinned variants, or None.

    `asked` are those that requests named since, oldest first; `loaded` has for each the time of its last use;
    `may_stay` are those of versions that answer, but for the variant that answers there anyway. Above
    `most_of_model` of one model, the one that was not used for the longest time goes before another is loaded.
    """
    for key in loaded:
        if key not in may_stay:
            return DropPin(key)
    if is_busy:
        return None
    for key in asked:
        model = key.version.model
        of_model = [other for other in loaded if other.version.model == model]
        if key in loaded or key not in may_stay or most_of_model[model] == 0:
            continue
        if len(of_model) >= most_of_model[model]:
            return DropPin(min(of_model, key=lambda other: loaded[other]))
        return LoadPin(key)
    return None
