"""The models that were unloaded on request, known to all processes of one server."""

import fcntl
import json
import os
from collections.abc import Callable, Collection, Iterator


class Unloaded(Collection[str]):
    """Folded names. Of several processes each has the same file open, in memory and without a name, and `look`s at it.

    Whatever is changed is changed for all; alone, without a file, it is a set.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor
        self._names: set[str] = set()

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str) -> None:
        """Unload it everywhere."""
        self._change(lambda names: names | {name})

    def discard(self, name: str) -> None:
        """Load it everywhere."""
        self._change(lambda names: names - {name})

    def keep(self, known: Collection[str]) -> None:
        """Forget those that are not known."""
        if not self._names <= set(known):
            self._change(lambda names: names & set(known))

    def look(self) -> None:
        """See what other processes changed."""
        self._change(lambda names: names)

    def _change(self, change: Callable[[set[str]], set[str]]) -> None:
        if self._descriptor is None:
            self._names = change(self._names)
            return
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)  # held for microseconds
        try:
            before = set(json.loads(os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0) or b"[]"))
            self._names = change(before)
            if self._names != before:
                os.ftruncate(self._descriptor, os.pwrite(self._descriptor, json.dumps(sorted(self._names)).encode(), 0))
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)
