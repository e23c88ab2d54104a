"""Artifacts on their way in: copied, hashed and synced beside other writers, before anybody takes the lock."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from model_store import durable
from model_store.blobs import source_pieces
from model_store.errors import StorageFailed
from model_store.records import FileRecord, artifact_digest

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """An artifact whose files are staged, the main one first."""

    digest: str
    records: tuple[FileRecord, ...]
    files: tuple[durable.Staged, ...]


def named(source: Path, external: Mapping[str, Path]) -> list[tuple[str, Path]]:
    """The files of an artifact with their names in the store, the main one first.

    The main file is called `model`, with its extension: its own name would make equal models differ.
    """
    suffix = source.suffix.lower()
    # OpenVINO finds the weights of x.xml by their name, x.bin; all other models say what theirs are called.
    along = {f"{source.stem}.bin": "model.bin"} if suffix == ".xml" else {}
    return [(f"model{suffix}", source), *sorted((along.get(name, name), path) for name, path in external.items())]


def stage(stack: ExitStack, sources: list[tuple[str, Path]], staging: Path, progress: Progress | None) -> Incoming:
    """Copy the files of an artifact into `staging`; `stack` owns the copies. Raises StorageFailed."""
    sizes = [_size(path) for _, path in sources]
    advance = counted(progress, sum(sizes))
    files = tuple(
        stack.enter_context(durable.staged(staging, source_pieces(path, advance), size))
        for (_, path), size in zip(sources, sizes, strict=True)
    )
    records = tuple(FileRecord(name, file.digest, file.bytes) for (name, _), file in zip(sources, files, strict=True))
    return Incoming(artifact_digest(records), records, files)


def counted(progress: Progress | None, total: int) -> Callable[[int], None]:
    """Turns steps of bytes into calls of `progress`."""
    done = 0

    def advance(step: int) -> None:
        nonlocal done
        done += step
        if progress:
            progress(done, total)

    return advance


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise StorageFailed(f"cannot read {path}: {error.strerror}. Nothing was stored.") from error
