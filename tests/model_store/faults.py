"""Counts every step that changes the disk, and stops the process or refuses at a chosen one."""

import errno
import fcntl
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from sqlalchemy.engine.default import DefaultDialect

Fault = Callable[[], None]

TAKES_SPACE: list[tuple[Any, str]] = [
    (os, "fsync"), (os, "pwrite"), (Path, "replace"), (Path, "rename"), (Path, "mkdir"), (Path, "hardlink_to"),
]  # fmt: skip
ALL: list[tuple[Any, str]] = [
    *TAKES_SPACE, (os, "ftruncate"), (fcntl, "flock"), (Path, "unlink"), (Path, "rmdir"), (shutil, "rmtree"),
    (DefaultDialect, "do_begin"), (DefaultDialect, "do_commit"),
]  # fmt: skip

KILLED = 77
DONE = 0


class Steps:
    """Wraps what writes; before step number `at` (from 1) the fault happens, and in the middle of a write."""

    def __init__(self, at: int, fault: Fault, where: Sequence[tuple[Any, str]]) -> None:
        self.at = at
        self.fault = fault
        self.where = where
        self.count = 0
        self._undo: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        write = os.write
        self._replace(os, "write", lambda descriptor, data: self._write(write, descriptor, data))
        for owner, name in self.where:
            self._replace(owner, name, self._stepping(getattr(owner, name)))
        return self

    def __exit__(self, *_: object) -> None:
        for undo in self._undo:
            undo()

    def _replace(self, owner: Any, name: str, function: Callable[..., Any]) -> None:
        original = getattr(owner, name)
        self._undo.append(lambda: setattr(owner, name, original))
        setattr(owner, name, function)

    def _stepping(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:
            self._count()
            return original(*arguments, **named)

        return step

    def _write(self, write: Callable[[int, bytes], int], descriptor: int, data: bytes) -> int:
        """Two steps: before the write, and when half of it is done."""
        self._count()
        half = max(1, len(data) // 2)
        written = write(descriptor, bytes(data)[:half])
        self._count()
        return written

    def _count(self) -> None:
        self.count += 1
        if self.count == self.at:
            self.fault()


def die() -> None:
    """End at once, as a killed process does."""
    os._exit(KILLED)


def disk_full() -> None:
    """What the system says when nothing fits any more."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fork() -> int:
    """`os.fork`. Python warns where other tests have left threads; a child here uses none of theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def killed_at(step: int, act: Callable[[], object]) -> bool:
    """Carry out `act` in a child process that dies at `step`; tell whether it died before it was through."""
    child = fork()
    if child == 0:
        try:
            with Steps(step, die, ALL):
                act()
        except BaseException:  # noqa: BLE001 - a child of a test must never go on as a test
            os._exit(1)
        os._exit(DONE)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (DONE, KILLED), f"the child failed at step {step}"
    return code == KILLED
