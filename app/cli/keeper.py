"""Keeps processes up: starts one anew that ends, ends all at a signal or where one cannot be kept up."""

import asyncio
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import structlog

_STOPS = (signal.SIGTERM, signal.SIGINT)
# Before a process is started again: at first, and where it ended ever again before it was ready.
_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True, slots=True)
class Command:
    """How a process is started."""

    words: Sequence[str]
    environment: Mapping[str, str]
    descriptors: Sequence[int] = ()
    """What it has open, beside its line."""


class Keeper:
    """So many processes, each with a line: a socket on which it sends its greeting once it is ready, and shuts it then.

    The line's end tells a process that the keeper is gone.
    """

    def __init__(
        self,
        command: Callable[[int, int], Command],
        processes: int,
        greet: Callable[[str], None],
        *,
        end_seconds: float,
        pauses_seconds: Sequence[float] = _PAUSES_SECONDS,
    ) -> None:
        """`command` is given the index and the line's descriptor; `greet` the first one's greeting, when all are ready.

        They get `end_seconds` to end after a signal.
        """
        self._command = command
        self._processes = processes
        self._greet = greet
        self._end_seconds = end_seconds
        self._pauses_seconds = pauses_seconds
        self._log = structlog.get_logger("octet")
        self._living: dict[int, asyncio.subprocess.Process] = {}
        self._greetings: dict[int, str] = {}
        self._stopping = asyncio.Event()
        self._status = 0

    async def run(self) -> int:
        """Until a signal, or until a process cannot be kept up. 0 when all were up and ended by themselves, else 1."""
        for number in _STOPS:
            asyncio.get_running_loop().add_signal_handler(number, self._stop)
        keeping = [asyncio.create_task(self._keep(index)) for index in range(self._processes)]
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({*keeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        self._stopping.set()
        self._log.info("stopping", processes=len(self._living))
        self._send(signal.SIGTERM)
        _, late = await asyncio.wait(keeping, timeout=self._end_seconds)
        if late:
            self._log.error("processes are killed that did not end", processes=sorted(self._living))
            self._send(signal.SIGKILL)
        await asyncio.gather(*keeping)
        self._log.info("stopped", status=self._status)
        return self._status

    def _stop(self) -> None:
        """At the first signal politely, at the second one at once."""
        if self._stopping.is_set():
            self._send(signal.SIGKILL)
        self._stopping.set()

    def _send(self, number: signal.Signals) -> None:
        for process in self._living.values():
            process.send_signal(number)

    async def _keep(self, index: int) -> None:
        """Have a process there until all stop, or until it ended too often before it was ready."""
        failures = 0
        while True:
            is_ready, code = await self._live(index)
            if self._stopping.is_set():
                self._status = self._status or int(code not in (0, -signal.SIGTERM))
                return
            failures = 0 if is_ready else failures + 1
            if not self._all_were_ready or failures == len(self._pauses_seconds):
                self._log.error("a process cannot be kept up, so all end; what it said stands above", process=index)
                self._status = 1
                return
            pause_seconds = self._pauses_seconds[failures]
            self._log.warning("a process is started again", process=index, pause_seconds=pause_seconds)
            if await self._stops_within(pause_seconds):
                return

    async def _live(self, index: int) -> tuple[bool, int]:
        """A process from its start to its end: whether it was ready, and its exit status."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        with closing(writer):
            with theirs:
                try:
                    process = await self._start(index, theirs.fileno())
                except OSError as error:
                    self._log.error("a process cannot be started", process=index, error=str(error))
                    return False, 1
            log = self._log.bind(process=index, pid=process.pid)
            log.info("a process is started")
            if greeting := await reader.read():
                log.info("a process is ready")
                self._ready(index, greeting.decode())
            code = await process.wait()
        del self._living[index]
        how = {"signal": signal.Signals(-code).name} if code < 0 else {"status": code}
        (log.info if self._stopping.is_set() else log.warning)("a process ended", **how)
        return bool(greeting), code

    async def _start(self, index: int, line: int) -> asyncio.subprocess.Process:
        command = self._command(index, line)
        process = await asyncio.create_subprocess_exec(
            *command.words,
            stdin=asyncio.subprocess.DEVNULL,
            env=command.environment,
            pass_fds=(line, *command.descriptors),
            process_group=0,  # Ctrl-C reaches the keeper alone, which passes it on
        )
        self._living[index] = process
        if self._stopping.is_set():
            process.terminate()
        return process

    @property
    def _all_were_ready(self) -> bool:
        return len(self._greetings) == self._processes

    def _ready(self, index: int, greeting: str) -> None:
        """The last one of them has the first one's greeting printed; one that is started again greets nobody."""
        if not self._all_were_ready:
            self._greetings[index] = greeting
            if self._all_were_ready:
                self._greet(self._greetings[0])

    async def _stops_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._stopping.wait()
        except TimeoutError:
            return False
