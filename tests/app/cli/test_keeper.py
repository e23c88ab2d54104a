"""The keeper with processes that are no servers but small scripts, which greet with their process id."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.cli.keeper import Command, Keeper

GREET = """
import os, signal, socket
line = socket.socket(fileno=int(os.environ["LINE"]))
line.sendall(str(os.getpid()).encode())
line.shutdown(socket.SHUT_WR)
"""
STAY = f"{GREET}line.recv(1)"
LEAVE = GREET
FAIL = "raise SystemExit(3)"
END_ALL = f"{GREET}os.kill(os.getppid(), signal.SIGTERM); line.recv(1)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN){GREET}line.recv(1)"
PAUSES = (0.0, 0.0, 0.0)


class Lives:
    """What the first of two processes does in its lives, the last one again and again; the other one stays."""

    def __init__(self, *scripts: str) -> None:
        self.scripts = scripts
        self.begun = 0

    def __call__(self, index: int, line: int) -> Command:
        script = STAY
        if index == 0:
            script = self.scripts[min(self.begun, len(self.scripts) - 1)]
            self.begun += 1
        return Command((sys.executable, "-c", script), {"LINE": str(line)})


def kill_the_first(greeting: str) -> None:
    os.kill(int(greeting), signal.SIGKILL)


def end_all(_: str) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


async def kept(
    command: Callable[[int, int], Command], greet: Callable[[str], None] = kill_the_first, end_seconds: float = 60.0
) -> int:
    return await Keeper(command, 2, greet, end_seconds=end_seconds, pauses_seconds=PAUSES).run()


@pytest.fixture
def log() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


def told(log: list[Any], event: str) -> list[Any]:
    return [line for line in log if line["event"].startswith(event)]


async def test_before_all_were_ready_one_that_ends_ends_all() -> None:
    lives = Lives(FAIL)
    assert await kept(lives) == 1
    assert lives.begun == 1


async def test_one_that_ends_ever_again_before_it_is_ready_ends_all(log: list[Any]) -> None:
    lives = Lives(STAY, FAIL)
    assert await kept(lives) == 1
    assert lives.begun == 1 + len(PAUSES)
    killed, *failed, _ = told(log, "a process ended")
    assert killed["signal"] == "SIGKILL"
    assert [line["status"] for line in failed] == [3] * len(PAUSES)
    assert len(told(log, "a process cannot be kept up")) == 1


async def test_one_that_becomes_ready_in_between_is_started_again_and_again() -> None:
    lives = Lives(STAY, FAIL, FAIL, LEAVE, FAIL, FAIL, END_ALL)
    assert await kept(lives) == 0
    assert lives.begun == len(lives.scripts)


async def test_one_that_does_not_end_in_its_time_is_killed(log: list[Any]) -> None:
    assert await kept(Lives(STUBBORN), end_all, end_seconds=0.0) == 1
    assert told(log, "processes are killed that did not end")[0]["processes"] == [0, 1]


async def test_one_that_cannot_be_started_ends_all(log: list[Any]) -> None:
    def command(index: int, line: int) -> Command:
        return Command(("/nowhere/octet",), {}) if index == 0 else Lives()(index, line)

    assert await kept(command) == 1
    assert "No such file or directory" in told(log, "a process cannot be started")[0]["error"]
