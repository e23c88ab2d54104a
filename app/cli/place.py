"""The place of one server process among several."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """What a process is told by its supervisor, beside the settings that all have."""

    index: int
    """From 0 on."""
    port: int
    """Where all of them listen."""
    own_port: int
    """Where this one alone does."""
    processors: tuple[int, ...]
    """Those that it runs on."""
    line: int
    """Descriptor of the socket whose other end the supervisor holds."""
    unloaded: int
    """Descriptor of the file of `Unloaded`, which all have."""
