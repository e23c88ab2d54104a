"""The batcher against a plain list: every request leaves exactly once, with all its rows, the urgent ones first."""

from collections import Counter
from math import inf, isinf

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.errors import QueueFull, TooManyRows
from app.serving.batcher import Batch, Batcher
from app.serving.request import NORMAL_PRIORITY, PRIORITY_LEVELS, Outcome, Request

MAX_ROWS, QUEUE_ROWS = 4, 15
Place = tuple[int, object]
"""Priority and group of what waits together."""


def request(
    rows: int = 1, group: str = "a", arrived: float = 0.0, deadline: float = inf, priority: int = NORMAL_PRIORITY
) -> Request:
    made = Request({}, rows, group, arrived, deadline, no_answer)
    made.prioritise(priority)
    return made


def no_answer(request: Request, outcome: Outcome) -> None:
    raise AssertionError("the batcher settles nothing")


class Queue(RuleBasedStateMachine):
    """What waits, as a list in the order of arrival, beside the real batcher."""

    max_wait_seconds = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.batcher = Batcher(MAX_ROWS, QUEUE_ROWS, self.max_wait_seconds)
        self.now = 0.0
        self.waiting: list[Request] = []
        self.taken: dict[Request, list[int]] = {}
        self.gone: Counter[Request] = Counter()

    def left(self, request: Request) -> int:
        return request.rows - len(self.taken[request])

    def pending(self) -> int:
        return sum(self.left(request) for request in self.waiting)

    def lane(self, place: Place) -> list[Request]:
        return [request for request in self.waiting if (request.priority, request.group) == place]

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        rows=st.integers(0, QUEUE_ROWS + 2),
        group=st.sampled_from("ab"),
        allowed=st.sampled_from([1.0, 4.0, inf]),
        priority=st.integers(1, PRIORITY_LEVELS),
    )
    def add(self, rows: int, group: str, allowed: float, priority: int) -> None:
        new = request(rows, group, self.now, self.now + allowed, priority)
        assert self.batcher.full == (self.pending() >= QUEUE_ROWS)
        if rows > QUEUE_ROWS:
            with pytest.raises(TooManyRows, match=f"{rows} rows and the queue holds {QUEUE_ROWS}"):
                self.batcher.add(new)
        elif self.pending() + rows > QUEUE_ROWS:
            with pytest.raises(QueueFull, match=f"{self.pending()} of {QUEUE_ROWS} rows wait and {rows} came"):
                self.batcher.add(new)
        else:
            self.batcher.add(new)
            self.waiting.append(new)
            self.taken[new] = []

    @rule()
    def take(self) -> None:
        lane = self.batcher.ripe(self.now)
        ripe = self.ripe_places()
        assert (lane is not None) == bool(ripe)
        if lane is None:
            return
        place = lane.priority, lane.group
        assert place in ripe
        heads = [(priority, self.lane((priority, group))[0].arrived) for priority, group in ripe]
        assert (lane.priority, self.lane(place)[0].arrived) == min(heads), "the most urgent, of those the oldest"
        most = self.batcher.next_rows(lane)
        batch = self.batcher.take(lane, self.now)
        assert batch.group == lane.group
        assert batch.rows == sum(member.stop - member.start for member in batch.members)
        assert batch.rows <= most <= MAX_ROWS
        self.leave(batch, place)

    def ripe_places(self) -> set[Place]:
        return {
            place
            for place in {(request.priority, request.group) for request in self.waiting}
            if sum(map(self.left, self.lane(place))) >= MAX_ROWS
            or self.lane(place)[0].arrived + self.max_wait_seconds <= self.now
        }

    def leave(self, batch: Batch, place: Place) -> None:
        members = [member.request for member in batch.members]
        assert members == self.lane(place)[: len(members)], "first come, first served"
        assert members, "a batch is never empty"
        for request, start, stop in batch.members:
            assert start == len(self.taken[request]), "the next row that was not taken yet"
            assert stop <= request.rows
            if stop - start < request.rows:
                assert request.rows > MAX_ROWS, "only what no batch can hold is split"
            if start == 0:
                assert request.queue_seconds == self.now - request.arrived
            self.taken[request] += range(start, stop)
            if stop == request.rows:
                self.waiting.remove(request)
                self.gone[request] += 1
        rest = self.lane(place)
        if rest:
            assert batch.rows + self.left(rest[0]) > MAX_ROWS, "what still fitted was taken along"
        full = bool(rest) or batch.rows == MAX_ROWS
        assert batch.reason == ("full" if full else "wait" if self.max_wait_seconds else "idle")

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        victim = data.draw(st.sampled_from(self.waiting))
        assert self.batcher.remove(victim)
        self.waiting.remove(victim)
        self.gone[victim] += 1

    @precondition(lambda self: self.gone)
    @rule(data=st.data())
    def remove_what_is_gone(self, data: st.DataObject) -> None:
        assert not self.batcher.remove(data.draw(st.sampled_from(list(self.gone))))

    @rule()
    def expire(self) -> None:
        over = self.batcher.expire(self.now)
        assert Counter(over) == Counter(request for request in self.waiting if request.deadline <= self.now)
        for request in over:
            self.waiting.remove(request)
            self.gone[request] += 1
        assert self.batcher.earliest_deadline == min((r.deadline for r in self.waiting), default=inf)

    @invariant()
    def counts_agree(self) -> None:
        assert self.batcher.pending_rows == self.pending()
        assert Counter(self.batcher.requests()) == Counter(self.waiting)
        assert self.batcher.earliest_deadline <= min((r.deadline for r in self.waiting), default=inf)

    @invariant()
    def ripens_when_it_says(self) -> None:
        release = self.batcher.next_release()
        assert isinf(release) == (not self.waiting)
        if self.waiting:
            assert release == min(request.arrived for request in self.waiting) + self.max_wait_seconds

    def teardown(self) -> None:
        """Let everything out: each request has left once, whole unless it was dropped."""
        self.now += 100
        while self.waiting:
            self.take()
        assert all(times == 1 for times in self.gone.values())
        assert self.gone.keys() == self.taken.keys()
        assert all(rows == list(range(len(rows))) for rows in self.taken.values())
        assert self.batcher.pending_rows == 0


class WaitingQueue(Queue):
    """The same with a maximum wait."""

    max_wait_seconds = 1.0


TestQueue = Queue.TestCase
TestWaitingQueue = WaitingQueue.TestCase
TestQueue.settings = TestWaitingQueue.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_a_lone_request_is_ripe_at_once() -> None:
    batcher = Batcher(MAX_ROWS, QUEUE_ROWS)
    batcher.add(request(arrived=5.0))
    lane = batcher.ripe(5.0)
    assert lane is not None
    assert batcher.take(lane, 5.0).reason == "idle"
    assert batcher.ripe(5.0) is None


def test_with_a_wait_a_lone_request_is_ripe_when_it_is_over() -> None:
    batcher = Batcher(MAX_ROWS, QUEUE_ROWS, max_wait_seconds=0.25)
    batcher.add(request(arrived=5.0))
    assert batcher.next_release() == 5.25
    assert batcher.ripe(5.24) is None
    lane = batcher.ripe(5.25)
    assert lane is not None
    assert batcher.take(lane, 5.25).reason == "wait"


def test_a_full_batch_does_not_wait() -> None:
    batcher = Batcher(MAX_ROWS, QUEUE_ROWS, max_wait_seconds=0.25)
    batcher.add(request(MAX_ROWS - 1))
    assert batcher.ripe(0.0) is None
    batcher.add(request(1))
    lane = batcher.ripe(0.0)
    assert lane is not None
    assert batcher.take(lane, 0.0).reason == "full"


def test_a_large_request_leaves_in_pieces_and_the_last_one_has_company() -> None:
    batcher = Batcher(MAX_ROWS, QUEUE_ROWS)
    large, small = request(2 * MAX_ROWS + 1), request(2)
    batcher.add(large)
    batcher.add(small)
    pieces = []
    while (lane := batcher.ripe(0.0)) is not None:
        pieces.append([tuple(member) for member in batcher.take(lane, 0.0).members])
    assert pieces == [[(large, 0, 4)], [(large, 4, 8)], [(large, 8, 9), (small, 0, 2)]]


def test_what_is_urgent_goes_first_and_does_not_wait_for_others_of_its_group() -> None:
    batcher = Batcher(MAX_ROWS, QUEUE_ROWS)
    patient, normal, urgent = request(priority=3), request(arrived=1.0), request(arrived=2.0, priority=1)
    for one in (patient, normal, urgent):
        batcher.add(one)
    order = []
    while (lane := batcher.ripe(2.0)) is not None:
        order.append([member.request for member in batcher.take(lane, 2.0).members])
    assert order == [[urgent], [normal], [patient]]


def test_a_full_batch_that_can_wait_goes_before_an_urgent_one_that_is_not_ripe() -> None:
    batcher = Batcher(MAX_ROWS, QUEUE_ROWS, max_wait_seconds=0.25)
    batcher.add(request(priority=1))
    batcher.add(request(MAX_ROWS, priority=3))
    ripe = batcher.ripe(0.0)
    assert ripe is not None
    assert ripe.priority == 3
    ripe = batcher.ripe(0.25)
    assert ripe is not None
    assert ripe.priority == 1
