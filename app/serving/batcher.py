"""Which rows run together, and when: a plain state machine without threads, awaits or a clock of its own.

Work-conserving: whoever is idle takes what waits at once, so a lone request never waits, and batches grow only
while everyone is busy. `max_wait_seconds` trades that for larger batches.
"""

from collections import deque
from collections.abc import Hashable
from math import inf
from typing import NamedTuple

from app.errors import QueueFull, TooManyRows
from app.serving.request import Request


class Member(NamedTuple):
    """Rows `start:stop` of a request inside a batch."""

    request: Request
    start: int
    stop: int


class Batch(NamedTuple):
    """Rows of one group that run together. The taker settles every member; the batcher has forgotten them."""

    members: list[Member]
    rows: int
    group: Hashable
    reason: str
    """Why it was released: `full`, `idle` (someone could take it) or `wait` (the maximum wait was over)."""


class Lane:
    """The waiting requests of one group and priority, oldest first."""

    __slots__ = ("group", "key", "priority", "rows", "waiting")

    def __init__(self, first: Request) -> None:
        self.key = first.lane
        self.group = first.group
        self.priority = first.priority
        self.rows = 0
        self.waiting: deque[Request] = deque()


class Batcher:
    """The queue of one servable. Counts rows, not requests; every time is in seconds on the caller's clock."""

    def __init__(self, max_rows: int, queue_rows: int, max_wait_seconds: float = 0.0) -> None:
        self._max_rows = max_rows
        self._queue_rows = queue_rows
        self._max_wait_seconds = max_wait_seconds
        self._lanes: dict[Hashable, Lane] = {}
        self.pending_rows = 0
        self.earliest_deadline = inf
        """No waiting request expires before this; may be earlier than the true one."""

    @property
    def full(self) -> bool:
        """Whether a request of one row would be refused: worth knowing before its body is read."""
        return self.pending_rows >= self._queue_rows

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits; a request of no rows waits too."""
        return not self._lanes

    def refuse_if_full(self, rows: int) -> None:
        """Raises TooManyRows or QueueFull when `rows` more must not wait here."""
        if rows > self._queue_rows:
            raise TooManyRows(
                f"the request has {rows} rows and the queue holds {self._queue_rows}: send fewer rows a request"
            )
        if self.pending_rows + rows > self._queue_rows:
            raise QueueFull(
                f"the queue is full: {self.pending_rows} of {self._queue_rows} rows wait and {rows} came: "
                "try again later"
            )

    def add(self, request: Request) -> None:
        """Own the request until a batch takes it, `remove` or `expire` gives it back. Raises as `refuse_if_full`."""
        if self.pending_rows + request.rows > self._queue_rows:
            self.refuse_if_full(request.rows)
        lane = self._lanes.get(request.lane)
        if lane is None:
            lane = self._lanes[request.lane] = Lane(request)
        lane.waiting.append(request)
        lane.rows += request.rows
        self.pending_rows += request.rows
        self.earliest_deadline = min(self.earliest_deadline, request.deadline)

    def ripe(self, now: float) -> Lane | None:
        """The lane to take from, of those that may be released now: the most urgent, then the one waiting longest."""
        best = None
        for lane in self._lanes.values():
            oldest = lane.waiting[0].arrived
            is_ripe = lane.rows >= self._max_rows or oldest + self._max_wait_seconds <= now
            if is_ripe and (best is None or (lane.priority, oldest) < (best.priority, best.waiting[0].arrived)):
                best = lane
        return best

    def next_rows(self, lane: Lane) -> int:
        """The most rows that `take` would give from the lane."""
        return min(lane.rows, self._max_rows)

    def take(self, lane: Lane, now: float, takers: int = 1) -> Batch:
        """Give away the next batch of the lane, no more than its share where several takers are idle.

        A request is split only when it alone is over the maximum; requests leave in the order they came.
        """
        most_rows = min(self._max_rows, -(-lane.rows // takers))
        members: list[Member] = []
        rows = 0
        waiting = lane.waiting
        while waiting:
            request = waiting[0]
            left = request.rows - request.taken_rows
            if members and rows + left > most_rows:
                break
            size = min(left, self._max_rows)
            if request.taken_rows == 0:
                request.queue_seconds = now - request.arrived
            members.append(Member(request, request.taken_rows, request.taken_rows + size))
            request.taken_rows += size
            rows += size
            if request.taken_rows < request.rows:
                break
            waiting.popleft()
        self._forget(lane, rows)
        would_overflow = bool(waiting) and rows + waiting[0].rows - waiting[0].taken_rows > self._max_rows
        reason = "full" if would_overflow or rows >= self._max_rows else "wait" if self._max_wait_seconds else "idle"
        return Batch(members, rows, lane.group, reason)

    def remove(self, request: Request) -> bool:
        """Drop a request that nobody waits for any more. False when it does not wait here (taken, or never added)."""
        lane = self._lanes.get(request.lane)
        if lane is None or request not in lane.waiting:
            return False
        lane.waiting.remove(request)
        self._forget(lane, request.rows - request.taken_rows)
        return True

    def requests(self) -> list[Request]:
        """Everything that waits."""
        return [request for lane in self._lanes.values() for request in lane.waiting]

    def expire(self, now: float) -> list[Request]:
        """Give back, to be settled, the waiting requests whose deadline is over."""
        waiting = self.requests()
        over = [request for request in waiting if request.deadline <= now]
        for request in over:
            self.remove(request)
        self.earliest_deadline = min((r.deadline for r in waiting if r.deadline > now), default=inf)
        return over

    def next_release(self) -> float:
        """When the next lane ripens by waiting; infinity when nothing waits."""
        return min((lane.waiting[0].arrived + self._max_wait_seconds for lane in self._lanes.values()), default=inf)

    def _forget(self, lane: Lane, rows: int) -> None:
        lane.rows -= rows
        self.pending_rows -= rows
        if not lane.waiting:
            del self._lanes[lane.key]
