"""Threads that run batches outside the interpreter's lock, one engine runner each."""

import asyncio
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from app.serving.batch import Form, run_batch
from app.serving.batcher import Batch, Member
from app.serving.request import Outcome
from engines.engine import Runner

Done = Callable[["Worker", Batch, list[tuple[Member, Outcome]], float, float], None]
"""`(worker, batch, outcomes, started, ended)`, called on the event loop; the callee owns the members then."""


class Worker:
    """One thread and its runner. `hand` gives it a batch, which comes back through `done` exactly once."""

    def __init__(self, name: str, runner: Runner, form: Form, loop: asyncio.AbstractEventLoop, done: Done) -> None:
        self.name = name
        self.busy_with: Batch | None = None
        self._runner = runner
        self._form = form
        self._loop = loop
        self._done = done
        self._inbox: SimpleQueue[Batch | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def hand(self, batch: Batch) -> None:
        """Run the batch as soon as the one before it is done."""
        self.busy_with = batch
        self._inbox.put(batch)

    def run_here(self, batch: Batch) -> list[tuple[Member, Outcome]]:
        """Run the batch in the calling thread, with the runner of this worker, which must be idle."""
        return run_batch(self._runner, batch, self._form)

    def stop(self) -> None:
        """Let the thread end once it is through with what it was handed."""
        self._inbox.put(None)

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the thread to end; blocks. False when it still runs a batch."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (batch := self._inbox.get()) is not None:
            started = time.perf_counter()
            outcomes = self.run_here(batch)
            ended = time.perf_counter()
            self._loop.call_soon_threadsafe(self._done, self, batch, outcomes, started, ended)
