"""The only writer. What it has written is whole and survives a power cut; what was interrupted is not there.

Every file is first written under a name of its own in the staging folder, on the same file system, and locked while
its writer lives: `sweep` removes the ones whose writer is gone.
"""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from model_store.errors import StorageFailed


@dataclass(frozen=True, slots=True)
class Staged:
    """A whole, synced file that has no place yet. `staged` owns it until `place` has moved it."""

    path: Path
    digest: str
    bytes: int


def write(target: Path, data: bytes, staging: Path) -> None:
    """Put a file with this content at `target`, in place of what was there."""
    with staged(staging, (data,), len(data)) as file:
        place(file, target)


@contextmanager
def staged(staging: Path, pieces: Iterable[bytes], expected_bytes: int) -> Iterator[Staged]:
    """Write `pieces` to a new read-only file, hashing on the way. Raises StorageFailed; then nothing is left."""
    with telling("write into", staging):
        path, descriptor = _create(staging, folder=False)
    try:
        with telling("write", path):
            digest, length = _fill(descriptor, pieces)
            os.fsync(descriptor)
            if not length == os.fstat(descriptor).st_size == expected_bytes:
                raise StorageFailed(f"{length} bytes came where {expected_bytes} were expected: a file was changed "
                                    "while it was read. Try again when nothing writes to it.")  # fmt: skip
        yield Staged(path, digest, length)
    finally:
        with suppress(FileNotFoundError):
            path.unlink()
        os.close(descriptor)


def place(file: Staged, target: Path) -> None:
    """Move a staged file to `target`, whose folder must be there. It is all there or not at all."""
    with telling("write", target):
        file.path.replace(target)
        sync_folder(target.parent)


def append(path: Path, data: bytes, at: int) -> None:
    """Write `data` at the offset `at`, cutting off what lies behind it, and sync. The file is made if need be."""
    with telling("append to", path):
        new = not path.exists()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.ftruncate(descriptor, at)
            os.lseek(descriptor, at, os.SEEK_SET)
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if new:
            sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, each one synced into its parent."""
    if path.is_dir():
        return
    make_folder(path.parent)
    with telling("make the folder", path):
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file, if it is there."""
    with telling("remove", path):
        path.unlink(missing_ok=True)
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def staged_folder(staging: Path) -> Iterator[Path]:
    """An empty folder in `staging` to fill and then rename; removed with its content if it is still there at the end.

    For what can be made again: nothing in it is synced.
    """
    with telling("make a folder in", staging):
        path, descriptor = _create(staging, folder=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def sweep(staging: Path) -> int:
    """Remove what writers that are gone have left in `staging`; tell how many entries that were."""
    with telling("clean up", staging):
        return sum(_sweep_one(path) for path in staging.iterdir())


def _sweep_one(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False  # its writer has just placed it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    except BlockingIOError:
        return False  # its writer lives
    finally:
        os.close(descriptor)
    return True


def _create(staging: Path, *, folder: bool) -> tuple[Path, int]:
    """A new, empty, locked entry. `sweep` may come between any two of these calls; then another one is made."""
    while True:
        path = staging / uuid4().hex
        try:
            if folder:
                path.mkdir()
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            else:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
        except FileNotFoundError:
            if not staging.exists():
                raise
            continue
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():
            return path, descriptor
        os.close(descriptor)


def _fill(descriptor: int, pieces: Iterable[bytes]) -> tuple[str, int]:
    hasher, length = sha256(), 0
    for piece in pieces:
        hasher.update(piece)
        _write_all(descriptor, piece)
        length += len(piece)
    return hasher.hexdigest(), length


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@contextmanager
def telling(doing: str, path: Path) -> Iterator[None]:
    """What the operating system refuses within becomes StorageFailed."""
    try:
        yield
    except OSError as error:
        raise StorageFailed(f"cannot {doing} {path}: {error.strerror}. Look at the disk and try again.") from error
