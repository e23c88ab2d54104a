"""A variant that is loaded and ready: its queue, its workers, and the rule that joins them.

Everything here happens on the event loop's thread. Requests that arrive in one tick of the loop are looked at
together at its end: cheap batches run there and then, the others go to idle workers, the rest waits.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from threading import current_thread
from typing import TYPE_CHECKING, Any

from app.errors import Cancelled, DeadlineExceeded, Draining
from app.metrics import Tally
from app.serving.batch import Rows, Whole
from app.serving.batcher import Batch, Batcher, Lane, Member
from app.serving.cost import OVERRUN_SECONDS, CostTable
from app.serving.request import Outcome, Request
from app.serving.workers import Worker
from engines.engine import Engine, Runner
from engines.measure import Split
from engines.signature import Signature

if TYPE_CHECKING:
    from app.tracing import Tracing

# How long closing waits for a run that outlived its drain.
_JOIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Identity:
    """What a servable is, for headers, status and metrics."""

    model: str
    version: str
    variant: str
    engine: str
    digest: str = ""
    """Of the artifact: another one may come under the variant's name."""
    rung: str = ""
    """The engine as it was asked for, without its version."""

    def head(self) -> bytes:
        """The header lines that tell a client what answered."""
        lines = (
            f"octet-model-version: {self.version}\r\noctet-variant: {self.variant}\r\noctet-engine: {self.engine}\r\n"
        )
        return lines.encode("latin-1")


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Bounds of one servable's queue and batches."""

    max_batch_rows: int
    queue_rows: int
    max_wait_seconds: float
    deadline_seconds: float


class Servable:
    """Answers rows for one variant. Made by `loading`, reached through the table, closed after its drain."""

    def __init__(
        self,
        identity: Identity,
        engine: Engine,
        runners: Sequence[Runner],
        limits: QueueLimits,
        cost: CostTable,
        tally: Tally,
        *,
        batched: bool,
        split: Split,
        notes: Sequence[str],
        metadata: Mapping[str, Any],
        tracing: "Tracing | None" = None,
    ) -> None:
        self.identity = identity
        self.head = identity.head()
        self.signature: Signature = engine.signature
        self.batched = batched
        """Whether requests share batches; else each runs alone and counts as one row."""
        self.limits = limits
        self.cost = cost
        self.tally = tally
        self.split = split
        self.metadata = metadata
        """What was published beside the model; shown, never read."""
        self.notes = tuple(notes)
        """What the load found worth saying in the model's status."""
        self.draining = False
        self._tracing = tracing
        self._made_at = time.perf_counter()
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._batcher = Batcher(limits.max_batch_rows if batched else 1, limits.queue_rows, limits.max_wait_seconds)
        form = Rows() if batched else Whole()
        name = f"octet-{identity.model}-{identity.version}"
        self._workers = [Worker(f"{name}-{i}", r, form, self._loop, self._came_back) for i, r in enumerate(runners)]
        self._idle = list(self._workers)
        self._looks_at_end_of_tick = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._quiet = asyncio.Event()

    @property
    def used_at(self) -> float:
        """When its last request was answered, or it was made, on perf_counter's clock."""
        return max(self._made_at, self.tally.answered_at or 0.0)

    def refuse_early(self) -> None:
        """Raise now what a request of one row would meet later, so that its body need not be read."""
        if self.draining:
            raise self._draining_error()
        if self._batcher.full:
            self._batcher.refuse_if_full(1)

    def submit(self, request: Request) -> None:
        """Own the request until it is settled. Raises QueueFull, TooManyRows or Draining, and then does not own it."""
        if self.draining:
            raise self._draining_error()
        self._batcher.add(request)
        if not self._looks_at_end_of_tick:
            self._looks_at_end_of_tick = True
            self._loop.call_soon(self._look)

    def cancel(self, request: Request) -> None:
        """Nobody waits for the answer any more: leave the queue, or let the result fall."""
        self._batcher.remove(request)
        if request.settle(Cancelled("the client closed the connection")):
            self.tally.cancelled += 1
        self._after()

    async def drain(self, timeout_seconds: float) -> bool:
        """Take nothing new, finish what is owned; False when the time was over first."""
        self.draining = True
        self._after()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._quiet.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Answer what is left with an error, end the threads, free the engine. The last call."""
        self.draining = True
        for request in self._owned():
            self._batcher.remove(request)
            request.settle(self._draining_error())
        if self._timer is not None:
            self._timer.cancel()
        for worker in self._workers:
            worker.stop()
        await asyncio.to_thread(self._join_and_free)

    def _join_and_free(self) -> None:
        """An engine that still runs is not freed: better a leak than a crash of the process."""
        if all(worker.join(_JOIN_SECONDS) for worker in self._workers):
            self._engine.close()
            self._idle.clear()  # the runners go with their workers, and with the runners what the engine holds
            self._workers.clear()

    def _look(self) -> None:
        """Release every batch that may be released now."""
        self._looks_at_end_of_tick = False
        now = time.perf_counter()
        if now >= self._batcher.earliest_deadline:
            for request in self._batcher.expire(now):
                request.settle(_too_late(request))
        while self._idle and (lane := self._batcher.ripe(now)) is not None:
            if self.cost.runs_on_loop(lane.group, self._batcher.next_rows(lane)):
                self._run_here(lane, now)
                now = time.perf_counter()
            else:
                batch = self._batcher.take(lane, now, takers=len(self._idle))
                self._idle.pop().hand(batch)
        self._after()

    def _run_here(self, lane: Lane, now: float) -> None:
        batch = self._batcher.take(lane, now)
        started, used = time.perf_counter(), time.thread_time()
        outcomes = self._idle[-1].run_here(batch)
        ended = time.perf_counter()
        if ended - started > OVERRUN_SECONDS and time.thread_time() - used > OVERRUN_SECONDS:
            self.cost.overran()
        self._answer(batch, outcomes, started, ended)

    def _came_back(
        self, worker: Worker, batch: Batch, outcomes: list[tuple[Member, Outcome]], started: float, ended: float
    ) -> None:
        """A worker is through: it gets its next batch before the answers of this one are encoded."""
        worker.busy_with = None
        self._idle.append(worker)
        self._look()
        self._answer(batch, outcomes, started, ended, worker)
        self._after()

    def _answer(
        self,
        batch: Batch,
        outcomes: list[tuple[Member, Outcome]],
        started: float,
        ended: float,
        worker: Worker | None = None,
    ) -> None:
        if self._tracing is not None:
            self._trace(self._tracing, batch, outcomes, started, ended, worker)
        seconds = ended - started
        tally = self.tally
        tally.releases[batch.reason] += 1
        tally.batches.observe((batch.rows, seconds))
        ran_whole = len(outcomes) == len(batch.members)
        for (request, start, stop), outcome in outcomes:
            request.compute_seconds += seconds
            request.settle_part(start, stop, outcome)
            if isinstance(outcome, Exception):
                ran_whole = False
                self._batcher.remove(request)  # what is left of a large request
        if ran_whole:
            self.cost.observe(batch.group, batch.rows, seconds)
        tally.fold_if_long()

    def _trace(
        self,
        tracing: "Tracing",
        batch: Batch,
        outcomes: list[tuple[Member, Outcome]],
        started: float,
        ended: float,
        worker: Worker | None,
    ) -> None:
        """Before the requests are answered: their spans link to the batch's."""
        spans = [span for (request, _, _), _ in outcomes if (span := request.span) is not None and span.sampled]
        if not spans:
            return
        identity = self.identity
        tracing.batch(
            spans,
            started,
            ended,
            identity.model,
            next((outcome for _, outcome in outcomes if isinstance(outcome, Exception)), None),
            {
                "octet.model": identity.model,
                "octet.version": identity.version,
                "octet.variant": identity.variant,
                "octet.engine": identity.engine,
                "octet.requests": len(outcomes),
                "octet.rows": sum(stop - start for (_, start, stop), _ in outcomes),
                "octet.release": batch.reason,
                "thread.name": current_thread().name if worker is None else worker.name,
            },
        )

    def _after(self) -> None:
        """Keep the gauge, the timer and the drain in step with what is owned now."""
        self.tally.pending_rows = self._batcher.pending_rows
        if not self._batcher.is_empty or len(self._idle) < len(self._workers):
            self._arm_timer()
        elif self.draining:
            self._quiet.set()

    def _arm_timer(self) -> None:
        running = (m.request.deadline for b in self._running() for m in b.members if not m.request.settled)
        at = min(self._batcher.earliest_deadline, min(running, default=inf))
        if self._idle:
            at = min(at, self._batcher.next_release())
        if at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self._loop.call_later(at - time.perf_counter(), self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer, self._timer_at = None, inf
        now = time.perf_counter()
        for batch in self._running():
            for member in batch.members:
                if member.request.deadline <= now:
                    member.request.settle(_too_late(member.request))
        self._look()

    def _running(self) -> list[Batch]:
        return [worker.busy_with for worker in self._workers if worker.busy_with is not None]

    def _owned(self) -> list[Request]:
        return [*self._batcher.requests(), *(m.request for batch in self._running() for m in batch.members)]

    def _draining_error(self) -> Draining:
        return Draining(
            f"model '{self.identity.model}' takes no more requests here: it is unloaded, or the server stops"
        )


def _too_late(request: Request) -> DeadlineExceeded:
    allowed_ms = max(0.0, request.deadline - request.arrived) * 1000
    return DeadlineExceeded(
        f"no answer within {allowed_ms:.0f} ms: send fewer rows, or allow more time (X-Request-Timeout-Ms, deadline_ms)"
    )
