"""Tensors in POSIX shared memory, for clients on the same host (Triton's system shared memory).

A region is a stretch of a file under /dev/shm that a client made, registered under a name. It is read and written
through its descriptor and never mapped: a client that shortens its file gets an error, where a mapping would end the
server with a SIGBUS. The descriptor is that of the file that was registered, whatever becomes of its name.
"""

import os
import re
import stat
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Any

from app.errors import BodyTooLarge, Malformed, RegionNotFound, Unsupported
from app.protocols.quoting import quoted

_FOLDER = b"/dev/shm/"  # where shm_open puts its files on Linux
# As shm_open reads it: a name in one folder. What begins with `sem.` is a semaphore.
_KEY = re.compile(r"/*((?!sem\.|\.\.?$)[^/\0]{1,255})")
# A registration holds a file open, and 1024 open files is what a process usually gets.
_MOST_REGIONS = 512
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class Region:
    """Bytes `offset` to `offset + byte_size` of the file that the key names."""

    name: str
    key: str
    offset: int
    byte_size: int
    descriptor: int

    def document(self) -> dict[str, Any]:
        """What the status page says of it."""
        return {"name": self.name, "key": self.key, "offset": self.offset, "byte_size": self.byte_size}

    def read(self, offset: int, size_bytes: int) -> bytes:
        """A copy of the bytes at `offset`. Raises Malformed where they are not all there."""
        at = self._place(offset, size_bytes)
        pieces = []
        left = size_bytes
        while left:  # one call gives two gigabytes at most
            piece = os.pread(self.descriptor, left, at)
            if not piece:
                raise Malformed(f"shared memory region '{self.name}': its file was shortened and ends at byte {at}")
            pieces.append(piece)
            left -= len(piece)
            at += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def write(self, offset: int, data: bytes) -> None:
        """Write at `offset`. Raises Malformed where the data does not fit."""
        at = self._place(offset, len(data))
        _check_end(self.name, self.descriptor, at + len(data))
        left = memoryview(data)
        try:
            while left:
                written = os.pwrite(self.descriptor, left, at)
                left = left[written:]
                at += written
        except OSError as error:  # no page is left for what the client never touched
            raise Malformed(f"shared memory region '{self.name}' cannot be written: {error.strerror}") from None

    def _place(self, offset: int, size_bytes: int) -> int:
        """Where in the file that stretch of the region begins. Raises Malformed where it is not inside."""
        if offset < 0 or size_bytes < 0 or offset + size_bytes > self.byte_size:
            raise Malformed(
                f"shared memory region '{self.name}' has {self.byte_size} bytes, "
                f"asked were {size_bytes} from offset {offset}"
            )
        return self.offset + offset


class Regions:
    """The registered regions of one server. Only `read` may be called from another thread than the event loop's."""

    def __init__(self, *, enabled: bool, limit_bytes: float = inf) -> None:
        self.enabled = enabled
        self._limit_bytes = limit_bytes
        """The most that is read at once: a file without pages may have any size, and reading it takes memory here."""
        self._regions: dict[str, Region] = {}
        self._files = threading.Lock()
        """Held while a file is read or closed: a closed descriptor may be another file's the next moment."""

    def register(self, name: str, key: str, offset: int, byte_size: int) -> None:
        """Open the file and keep the region under its name. Raises Unsupported or Malformed."""
        self._refuse_if_off()
        if len(name) > _LONGEST_NAME:
            raise Malformed(f"the name of a shared memory region has at most {_LONGEST_NAME} characters")
        if name in self._regions:
            raise Malformed(f"shared memory region '{name}' is registered already: unregister it first")
        if len(self._regions) >= _MOST_REGIONS:
            raise Malformed(f"{_MOST_REGIONS} shared memory regions are registered: unregister some first")
        if offset < 0 or byte_size <= 0:
            raise Malformed(f"region '{name}': 'offset' must not be negative and 'byte_size' must be above 0")
        self._regions[name] = Region(name, key, offset, byte_size, _open(name, key, offset + byte_size))

    @property
    def largest_bytes(self) -> int:
        """The size of the largest region, 0 where there is none."""
        return max((region.byte_size for region in self._regions.values()), default=0)

    def unregister(self, name: str | None = None) -> None:
        """Forget one region, or all of them; an unknown one is no error, as in Triton. Raises Unsupported."""
        self._refuse_if_off()
        self._forget(list(self._regions) if name is None else [name])

    def status(self, name: str | None = None) -> list[dict[str, Any]]:
        """The named region, or all. Raises Unsupported or RegionNotFound."""
        self._refuse_if_off()
        chosen = self._regions.values() if name is None else [self._region(name)]
        return [region.document() for region in chosen]

    def read(self, name: str, offset: int, size_bytes: int) -> bytes:
        """A copy of the bytes at `offset` of the region.

        Raises Unsupported, RegionNotFound, BodyTooLarge, and Malformed where they are not all there.
        """
        with self._files:
            region = self._region(name)
            if size_bytes > self._limit_bytes:
                raise BodyTooLarge(
                    f"{size_bytes} bytes of shared memory region '{name}' are over the limit of {self._limit_bytes}: "
                    "send fewer rows a request, or raise max_body_bytes"
                )
            return region.read(offset, size_bytes)

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Write at `offset` of the region. Raises Unsupported, RegionNotFound, and Malformed where it does not fit."""
        self._region(name).write(offset, data)

    def close(self) -> None:
        """Let go of every file."""
        self._forget(list(self._regions))

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            region = self._regions.pop(name, None)
            if region is not None:
                with self._files:
                    os.close(region.descriptor)

    def _region(self, name: str) -> Region:
        self._refuse_if_off()
        region = self._regions.get(name)
        if region is None:
            raise RegionNotFound(f"unable to find shared memory region {quoted(name)}: register it first")
        return region

    def _refuse_if_off(self) -> None:
        if not self.enabled:
            raise Unsupported("shared memory is off here: start the server with --shared-memory")


def _open(name: str, key: str, end: int) -> int:
    """A descriptor of the file that shm_open would open, which has bytes up to `end`; never waits, follows no link.

    Raises Malformed.
    """
    found = _KEY.fullmatch(key)
    if found is None:
        raise Malformed(f"region '{name}': key {quoted(key)} names no shared memory, expected a name as '/tensors'")
    try:
        # encoded here, since os.open takes some halves of surrogate pairs for bytes
        descriptor = os.open(_FOLDER + found[1].encode(), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, UnicodeEncodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "half a surrogate pair"
        raise Malformed(f"region '{name}': shared memory '{found[1]}' cannot be opened: {why}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Malformed(f"region '{name}': '{found[1]}' is no shared memory")
        _check_end(name, descriptor, end)
    except Malformed:
        os.close(descriptor)
        raise
    return descriptor


def _check_end(name: str, descriptor: int, end: int) -> None:
    size = os.fstat(descriptor).st_size
    if end > size:
        raise Malformed(f"shared memory region '{name}': its file has {size} bytes, asked were bytes up to {end}")
