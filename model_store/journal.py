"""A model's journal: what happened to its versions, in order, a JSON line each. Labels and retirements are its fold."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from model_store import durable
from model_store.errors import Corrupt
from model_store.layout import variant_file
from model_store.manifest import Sha256

Action = Literal["publish", "label", "unlabel", "retire", "add_variant", "drop_variant"]


class Entry(BaseModel):
    """One line. `seq` counts from 1, so that a line that went missing is noticed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seq: int
    at: datetime
    action: Action
    version: str
    label: str | None = None
    variant: str | None = None
    manifests: dict[str, Sha256] | None = None
    """What a publish or an added variant wrote: file name below the version's folder -> SHA-256 of the manifest."""


@dataclass(frozen=True, slots=True)
class State:
    """What the entries come to."""

    labels: dict[str, str] = field(default_factory=dict)
    retired: frozenset[str] = frozenset()
    manifests: dict[str, str] = field(default_factory=dict)
    """Of everything that was published or added and not dropped: path below the model's folder -> SHA-256."""


def fold(entries: Iterable[Entry]) -> State:
    """Labels (label -> version), retired versions and manifests after these entries."""
    labels: dict[str, str] = {}
    retired: set[str] = set()
    manifests: dict[str, str] = {}
    for entry in entries:
        if entry.action == "label" and entry.label is not None:
            labels[entry.label] = entry.version
        elif entry.action == "unlabel" and entry.label is not None:
            labels.pop(entry.label, None)
        elif entry.action == "retire":
            retired.add(entry.version)
        elif entry.action == "drop_variant" and entry.variant is not None:
            manifests.pop(f"{entry.version}/{variant_file(entry.variant)}", None)
        manifests.update({f"{entry.version}/{name}": digest for name, digest in (entry.manifests or {}).items()})
    return State(labels, frozenset(retired), manifests)


def read(path: Path) -> list[Entry]:
    """Every whole line. What follows the last newline was never acknowledged and does not count. Raises Corrupt."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    lines = data.split(b"\n")[:-1]
    return [_parse(path, number, line) for number, line in enumerate(lines, start=1)]


def next_seq(path: Path) -> int:
    """The number of the next entry. The caller holds the store's lock. Raises Corrupt."""
    return len(read(path)) + 1


def append(path: Path, entries: Sequence[Entry]) -> None:
    """Add entries, durably; a torn last line is cut off first. Those that the journal has by their `seq` are left out.

    The caller holds the store's lock.
    """
    known = len(read(path))
    new = [entry for entry in entries if entry.seq > known]
    if new:
        text = "".join(entry.model_dump_json(exclude_none=True) + "\n" for entry in new)
        durable.append(path, text.encode(), at=_whole_bytes(path))


def _whole_bytes(path: Path) -> int:
    """How long the file is up to its last newline."""
    data = path.read_bytes() if path.exists() else b""
    return data.rfind(b"\n") + 1


def _parse(path: Path, number: int, line: bytes) -> Entry:
    try:
        entry = Entry.model_validate_json(line)
    except ValidationError:
        entry = None
    if entry is None or entry.seq != number:
        shown = re.sub(r"[^ -~]", "?", line[:80].decode("latin-1"))
        raise Corrupt(
            f"{path} line {number} is not entry {number} of the journal: {shown!r}. Restore it from a backup."
        )
    return entry
