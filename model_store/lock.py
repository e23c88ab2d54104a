"""One writer at a time, over all processes: a lock that the kernel drops when its holder dies."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from model_store.durable import telling
from model_store.errors import StoreBusy

_POLL_SECONDS = 0.02


@contextmanager
def exclusive(path: Path, purpose: str, wait_seconds: float) -> Iterator[None]:
    """Hold the store's lock. `purpose` is what others read while they wait. Raises StoreBusy."""
    with telling("lock", path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _acquire(descriptor, path, wait_seconds)
        holder = f"process {os.getpid()} ({purpose}, since {datetime.now(UTC):%H:%M:%S} UTC)"
        with suppress(OSError):  # a full disk takes no text, but the lock holds all the same
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, holder.encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, 1000, 0).decode(errors="replace") or "another process"
                raise StoreBusy(
                    f"{path.parent} is being changed by {holder}; waited {wait_seconds:g} s. "
                    "Try again when it is done, or end it if it hangs: nothing will be left half."
                ) from None
            time.sleep(_POLL_SECONDS)
        else:
            return
