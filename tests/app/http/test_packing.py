"""A call whose answer waits to be packed hears its deadline and its client's going away, and is answered once."""

import asyncio
import gzip
import json
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.http.head import read_head
from app.http.inference import Call
from app.http.inference_routes import Targets
from app.lifespan import Service

ROWS = [[i, -i] for i in range(8)]
# A body of a few rows has its answer packed where that is below what is worth it.
LEAST = "app.http.inference.LEAST_PACKED_BYTES"


class Pool:
    """The loop's thread pool, with one thread, which does nothing before `release`."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1)
        self._may_go_on = threading.Event()
        self._executor.submit(self._may_go_on.wait)
        asyncio.get_running_loop().set_default_executor(self._executor)

    def release(self) -> None:
        """Let it do all that waits, and wait for that."""
        self._may_go_on.set()
        self._executor.submit(lambda: None).result(60)


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    pool = Pool()
    yield pool
    pool.release()


Ask = Callable[..., Call]
"""`ask(*headers)`: a call that was handed over."""


@pytest.fixture
def ask(service: Service, answered: list[Call], monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setattr(LEAST, 1)

    def ask(*headers: tuple[bytes, bytes]) -> Call:
        target = Targets().match(b"/v1/models/m:predict")
        assert target is not None
        head = read_head([(b"accept-encoding", b"gzip"), *headers])
        call = Call(service, target, head, answered.append)
        assert call.admit()
        call.submit(json.dumps({"instances": ROWS}).encode())
        return call

    return ask


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110  the call has no event to wait for
            await asyncio.sleep(0)


async def test_an_answer_waits_until_it_is_packed(pool: Pool, service: Service, ask: Ask, answered: list[Call]) -> None:
    call = ask()
    await until(lambda: call._apart is not None)
    assert answered == []
    pool.release()
    await until(lambda: bool(answered))
    assert call.response is not None
    assert b"content-encoding: gzip\r\n" in call.response.head
    assert json.loads(gzip.decompress(call.response.body)) == {"predictions": [[2 * a, 2 * b] for a, b in ROWS]}


async def test_the_deadline_holds_while_an_answer_waits_to_be_packed(
    pool: Pool, service: Service, ask: Ask, answered: list[Call]
) -> None:
    call = ask((b"x-request-timeout-ms", b"500"))
    await until(lambda: bool(answered))
    assert call.response is not None
    assert call.response.status == 504
    assert b"or its answer be packed, in time" in call.response.body
    await nothing_more_comes(pool, call, answered)
    assert call._tally.requests == {504: 1}
    assert service.metrics.rejected == {"deadline_exceeded": 1}


async def test_a_client_that_goes_away_while_its_answer_waits_to_be_packed(
    pool: Pool, service: Service, ask: Ask, answered: list[Call]
) -> None:
    call = ask()
    await until(lambda: call._apart is not None)
    call.cancel()
    assert call.response is not None
    assert call.response.status == 499
    await nothing_more_comes(pool, call, answered)
    assert call._tally.requests == {499: 1}
    assert call._tally.cancelled == 1


async def nothing_more_comes(pool: Pool, call: Call, answered: list[Call]) -> None:
    """The call was answered once, and what would have been packed is not."""
    assert call._apart is not None
    assert call._apart.cancelled()
    pool.release()
    for _ in range(10):
        await asyncio.sleep(0)
    assert answered == [call]
