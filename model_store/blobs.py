"""Content-addressed files: each lies under the SHA-256 of what it holds."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from model_store import durable
from model_store.errors import Corrupt, StorageFailed

Progress = Callable[[int], None]
"""Called with the number of bytes that were dealt with since the last call."""

_PIECE_BYTES = 1 << 20


class Blobs:
    """The blobs in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, digest: str) -> Path:
        """Where the blob is, or would be."""
        return self._folder / digest

    def put(self, file: durable.Staged) -> None:
        """Take in a staged file. One of the same digest is replaced, which mends it if it was damaged."""
        durable.place(file, self.path(file.digest))

    def check(self, digest: str, progress: Progress | None = None) -> Path:
        """The blob's path, once its bytes were found to be the right ones. Raises Corrupt."""
        path = self.path(digest)
        try:
            found = digest_of(path, progress)
        except FileNotFoundError:
            raise Corrupt(f"blob {digest} is missing: there is no {path}. {_MEND}") from None
        except OSError as error:
            raise Corrupt(f"blob {digest} cannot be read: {path}: {error.strerror}. {_MEND}") from error
        if found != digest:
            raise Corrupt(f"blob {digest} is damaged: {path} has the digest {found}. {_MEND}")
        return path

    def sizes(self) -> dict[str, int]:
        """Every blob that is there, with its number of bytes."""
        return {path.name: path.stat().st_size for path in self._folder.iterdir()}

    def remove(self, digest: str) -> None:
        """Remove a blob."""
        durable.remove(self.path(digest))


_MEND = "Publish or add the same file once more to mend it, or restore it from a backup."


def digest_of(path: Path, progress: Progress | None = None) -> str:
    """SHA-256 of a file."""
    hasher = sha256()
    for piece in pieces(path, progress):
        hasher.update(piece)
    return hasher.hexdigest()


def pieces(path: Path, progress: Progress | None = None) -> Iterator[bytes]:
    """A file's bytes, in pieces of bounded size."""
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
            if progress:
                progress(len(piece))


def source_pieces(path: Path, progress: Progress | None = None) -> Iterator[bytes]:
    """`pieces` of a file that is not the store's own. Raises StorageFailed when it cannot be read."""
    try:
        yield from pieces(path, progress)
    except OSError as error:
        raise StorageFailed(f"cannot read {path}: {error.strerror}. Nothing was stored.") from error
