"""A version's life in the server, as a pure policy: from what is wanted and what is, to the next action.

States only move forward: START, LOADING, AVAILABLE, UNLOADING, END (TensorFlow Serving's names). A version is
called available after it is true, and unloading before.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a version is in its life."""

    START = "START"
    LOADING = "LOADING"
    AVAILABLE = "AVAILABLE"
    UNLOADING = "UNLOADING"
    END = "END"


@dataclass(frozen=True, slots=True)
class VersionKey:
    """A version of a model; `model` is the folded name."""

    model: str
    version: str


@dataclass(frozen=True, slots=True)
class Load:
    """Load this version beside what is there."""

    key: VersionKey


@dataclass(frozen=True, slots=True)
class Replace:
    """Load the variant that should answer for this version beside the one that does, and put it in its place."""

    key: VersionKey


@dataclass(frozen=True, slots=True)
class Unload:
    """Take this version out of the table, drain it, free it."""

    key: VersionKey


def next_action(
    wanted: Sequence[VersionKey],
    states: Mapping[VersionKey, State],
    outdated: Collection[VersionKey] = (),
    *,
    is_busy: bool = False,
) -> Load | Replace | Unload | None:
    """What to do next, or None when nothing can be done now.

    `wanted` is in the order of importance. `states` holds every version that was taken up; END means that its load
    failed (a version that was unloaded is forgotten). One load runs at a time, since each measures the machine;
    `is_busy` tells of one that no state shows, beside a version that answers.
    A version of `outdated` should answer with another variant than it does; that waits until all was loaded once.

    Availability comes first: a version that is not wanted any more stays until all wanted versions of its model had
    their chance, and beyond that as long as it is the only one that can answer while others are wanted. Where nothing
    of its model is wanted, it goes at once, whatever else is being loaded.
    """
    is_loading = is_busy or State.LOADING in states.values()
    if not is_loading:
        for key in wanted:
            if key not in states:
                return Load(key)
    for key, state in states.items():
        if state is State.AVAILABLE and key not in wanted:
            of_model = [other for other in wanted if other.model == key.model]
            can_be_replaced = any(states.get(other) is State.AVAILABLE for other in of_model) and not is_loading
            if can_be_replaced or not of_model:
                return Unload(key)
    if not is_loading:
        for key in wanted:
            if key in outdated and states[key] is State.AVAILABLE:
                return Replace(key)
    return None
