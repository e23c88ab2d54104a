"""All bodies that wait to be decoded have one budget: what comes beyond it is refused, and everybody gives back."""

import asyncio
import gzip
from collections.abc import Callable, Iterator

import pytest

from app.http.head import read_head
from app.http.inference import Call
from app.http.inference_routes import Targets
from app.lifespan import _MOST_HELD_BODIES, Service

# One piece that every body is made of, so that they take no memory here.
PIECE = bytes(1 << 20)

Open = Callable[..., Call]
"""`open_call(*headers)`: a call whose body may come."""


@pytest.fixture
def open_call(service: Service, answered: list[Call]) -> Iterator[Open]:
    def open_call(*headers: tuple[bytes, bytes]) -> Call:
        target = Targets().match(b"/v1/models/m:predict")
        assert target is not None
        call = Call(service, target, read_head(list(headers)), answered.append)
        assert call.admit()
        return call

    yield open_call
    assert service._held_bytes == 0, "whatever becomes of a call, its bytes are given back"


def fill(call: Call, size_bytes: int) -> bool:
    """Whether all of it was taken."""
    return all(call.feed(PIECE) for _ in range(size_bytes // len(PIECE)))


def refused(call: Call) -> bool:
    assert call.response is not None
    assert b"large bodies fill the" in call.response.body
    return call.response.status == 503 and b"retry-after: 1\r\n" in call.response.head


async def test_bodies_that_come_in_at_once_have_one_budget(service: Service, open_call: Open) -> None:
    calls = [open_call() for _ in range(_MOST_HELD_BODIES)]
    assert all(fill(call, service.max_body_bytes) for call in calls)
    late = open_call()
    assert late.feed(b" " * 65_536), "a short body is not counted"
    assert not late.feed(b" ")
    assert refused(late)
    assert service.metrics.rejected == {"queue_full": 1}
    calls[0].cancel()
    calls[1].time_out()
    again = open_call()
    assert fill(again, service.max_body_bytes)
    for call in (*calls[2:], again):
        call.break_off()


async def test_what_a_body_unpacks_to_counts(service: Service, open_call: Open, answered: list[Call]) -> None:
    full = [open_call() for _ in range(_MOST_HELD_BODIES)]
    assert all(fill(call, service.max_body_bytes - len(PIECE)) for call in full)
    packed = [open_call((b"content-encoding", b"gzip")) for _ in range(2)]
    for call, size in zip(packed, (65_536, 5 << 20), strict=True):
        assert call.feed(gzip.compress(b" " * size, 1))
        call.finish()
    async with asyncio.timeout(60):
        while len(answered) < 2:  # noqa: ASYNC110  the call has no event to wait for
            await asyncio.sleep(0)
    small, large = packed
    assert small.response is not None
    assert small.response.status == 400, "it was read, and is no JSON"
    assert refused(large)
    for call in full:
        call.cancel()


async def test_a_body_gives_back_what_it_held_when_it_is_decoded(service: Service, open_call: Open) -> None:
    call = open_call()
    assert call.feed(b'{"instances":[[1,2]]}' + b" " * 100_000)
    assert service._held_bytes > 100_000
    call.finish()
    assert (call.response, service._held_bytes) == (None, 0)
    call.cancel()
