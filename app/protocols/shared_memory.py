"""Tensors in POSIX shared memory, for clients on the same host (Triton's system shared memory).

A region is a stretch of a file under /dev/shm that a client made, registered under a name. It is read and written
through its descriptor and never mapped: a client that shortens its file gets an error, where a mapping would end the
server with a SIGBUS.
"""

import os
import re
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import Malformed, Unsupported

_FOLDER = Path("/dev/shm")  # noqa: S108  where shm_open puts its files on Linux
_KEY = re.compile(r"/*((?!sem\.|\.\.?$)[^/\0]{1,255})")
_MOST_REGIONS = 1024


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


class Regions:
    """The registered regions of one server. Only `read` may be called from another thread than the event loop's."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._regions: dict[str, Region] = {}
        self._descriptors = threading.Lock()
        """Held while a file is read or closed: a closed descriptor may be another file's the next moment."""

    def register(self, name: str, key: str, offset: int, byte_size: int) -> None:
        """Open the file and keep the region under its name. Raises Unsupported or Malformed."""
        self._refuse_if_off()
        if name in self._regions:
            raise Malformed(f"shared memory region '{name}' is registered already: unregister it first")
        if len(self._regions) >= _MOST_REGIONS:
            raise Malformed(f"{_MOST_REGIONS} shared memory regions are registered: unregister some first")
        if offset < 0 or byte_size <= 0:
            raise Malformed(f"region '{name}': 'offset' must not be negative and 'byte_size' must be above 0")
        descriptor = _open(name, key)
        try:
            _check_end(name, descriptor, offset + byte_size)
        except Malformed:
            os.close(descriptor)
            raise
        self._regions[name] = Region(name, key, offset, byte_size, descriptor)

    def unregister(self, name: str | None = None) -> None:
        """Forget one region, or all of them; an unknown one is no error, as in Triton."""
        self._refuse_if_off()
        for known in [name] if name is not None else list(self._regions):
            region = self._regions.pop(known, None)
            if region is not None:
                with self._descriptors:
                    os.close(region.descriptor)

    def status(self, name: str | None = None) -> list[dict[str, Any]]:
        """The named region, or all. Raises Malformed for an unknown name."""
        self._refuse_if_off()
        chosen = self._regions.values() if name is None else [self._region(name)]
        return [region.document() for region in chosen]

    def read(self, name: str, offset: int, size_bytes: int) -> bytes:
        """A copy of the bytes at `offset` of the region. Raises Malformed where they are not all there."""
        with self._descriptors:
            start = self._start(name, offset, size_bytes)
            found = os.pread(self._region(name).descriptor, size_bytes, start)
        if len(found) != size_bytes:
            raise Malformed(f"shared memory region '{name}': its file was shortened, bytes {start} and on are missing")
        return found

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Write at `offset` of the region. Raises Malformed where it does not fit."""
        start = self._start(name, offset, len(data))
        descriptor = self._region(name).descriptor
        _check_end(name, descriptor, start + len(data))
        os.pwrite(descriptor, data, start)

    def close(self) -> None:
        """Let go of every file."""
        with self._descriptors:
            for region in self._regions.values():
                os.close(region.descriptor)
            self._regions.clear()

    def _start(self, name: str, offset: int, size_bytes: int) -> int:
        self._refuse_if_off()
        region = self._region(name)
        if offset < 0 or size_bytes < 0 or offset + size_bytes > region.byte_size:
            raise Malformed(
                f"shared memory region '{name}' has {region.byte_size} bytes, "
                f"asked were {size_bytes} from offset {offset}"
            )
        return region.offset + offset

    def _region(self, name: str) -> Region:
        region = self._regions.get(name)
        if region is None:
            raise Malformed(f"there is no shared memory region '{name}': register it first")
        return region

    def _refuse_if_off(self) -> None:
        if not self.enabled:
            raise Unsupported("shared memory is off here: start the server with --shared-memory")


def _open(name: str, key: str) -> int:
    found = _KEY.fullmatch(key)
    if found is None:
        raise Malformed(f"region '{name}': key '{key[:100]}' names no shared memory, expected a name as '/tensors'")
    try:
        descriptor = os.open(_FOLDER / found[1], os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise Malformed(f"region '{name}': shared memory '{key}' cannot be opened: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Malformed(f"region '{name}': '{key}' is no shared memory")
    return descriptor


def _check_end(name: str, descriptor: int, end: int) -> None:
    size = os.fstat(descriptor).st_size
    if end > size:
        raise Malformed(f"region '{name}': its file has {size} bytes, asked were bytes up to {end}")
