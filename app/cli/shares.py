"""How several processes share the cores of a machine: a pure rule."""

from collections.abc import Iterable
from dataclasses import dataclass

from app.settings import SettingsError


@dataclass(frozen=True, slots=True)
class Share:
    """What one process gets."""

    processors: tuple[int, ...]
    """Numbers of those that it runs on, as the system counts them; no other process has one of them."""
    cores: int
    """How many it counts on. Fewer than it runs on, where a quota lets all of them have less than the machine."""


def shares(processors: Iterable[int], cores: int, processes: int) -> list[Share]:
    """As even as may be, neighbours together, for they share caches. `cores` are all that may be used.

    Raises SettingsError where there is not a core for each.
    """
    if processes > cores:
        raise SettingsError(
            f"processes is {processes}, and {cores} cores may be used here; each process needs one of its own: "
            f"use --processes {cores} or less"
        )
    ordered = sorted(processors)
    return [
        Share(tuple(ordered[_part(len(ordered), processes, index)]), len(range(cores)[_part(cores, processes, index)]))
        for index in range(processes)
    ]


def _part(size: int, parts: int, index: int) -> slice:
    """Where the part lies, of `size` things in order."""
    return slice(size * index // parts, size * (index + 1) // parts)
