"""What a servable promises beyond what its parts do."""

import asyncio
import time

import numpy as np

from app.serving.request import Outcome, Request
from app.serving.servable import QueueLimits
from tests.app.conftest import MakeServable

WAITING = QueueLimits(max_batch_rows=8, queue_rows=64, max_wait_seconds=0.02, deadline_seconds=10.0)


async def test_a_request_of_no_rows_is_answered_though_the_batcher_waits(make_servable: MakeServable) -> None:
    servable = make_servable(limits=WAITING)
    answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    inputs = {"x": np.zeros((0, 2), np.float32)}
    now = time.perf_counter()
    servable.submit(Request(inputs, 0, (2,), now, now + 10, lambda _, outcome: answered.set_result(outcome)))
    async with asyncio.timeout(10):
        outcome = await answered
    assert isinstance(outcome, dict)
    assert outcome["y"].shape == (0, 2)


async def test_draining_waits_for_a_request_of_no_rows(make_servable: MakeServable) -> None:
    servable = make_servable(limits=WAITING)
    answered: list[Outcome] = []
    now = time.perf_counter()
    inputs = {"x": np.zeros((0, 2), np.float32)}
    servable.submit(Request(inputs, 0, (2,), now, now + 10, lambda _, outcome: answered.append(outcome)))
    assert await servable.drain(10)
    assert len(answered) == 1
