"""Whatever the neighbours do, each request is answered with its own rows, in order."""

import asyncio
import json
import random
from typing import Any

import pytest

from tests.service.conftest import Serve
from tests.service.door_cases import model
from tests.service.networks import PICKED_ROWS
from tests.service.process import Octet
from tests.service.wire import PATIENCE_SECONDS, chunked, request

CLIENTS = 24
REQUESTS_EACH = 12

Exchange = tuple[bytes, int, Any]
"""What is sent, the status that must come back, and the document; None where its text is another test's."""


def exchange(choice: random.Random) -> Exchange:
    """A request of some kind, one to 200 rows of random values, and its answer."""
    count = choice.choice((1, 1, 2, 3, 15, 16, 17, 40, 200))
    kind = choice.choice(("pick", "pick", "pick", "double", "pair", "refused", "malformed", "chunked"))
    picked = [choice.randrange(PICKED_ROWS) for _ in range(count)]
    if kind == "double":
        rows = [[number, -number] for number in picked]
        return request({"instances": rows}), 200, {"predictions": [[2 * a, 2 * b] for a, b in rows]}
    if kind == "pair":
        columns = {"a": picked, "b": picked[::-1]}
        less = [a < b for a, b in zip(*columns.values(), strict=True)]
        total = [a + b for a, b in zip(*columns.values(), strict=True)]
        return request({"inputs": columns}, model("pair")), 200, {"outputs": {"sum": total, "less": less}}
    if kind == "refused":
        picked[choice.randrange(count)] = PICKED_ROWS
        return request({"instances": picked}, model("pick")), 400, None
    if kind == "malformed":
        return request({"instances": [*picked, [1]]}, model("pick")), 400, None
    body = json.dumps({"instances": picked}).encode()
    cut = choice.randrange(1, len(body))
    data = chunked([body[:cut], body[cut:]], model("pick")) if kind == "chunked" else request(body, model("pick"))
    return data, 200, {"predictions": [3 * number for number in picked]}


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, Any]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.split("content-length: ")[1].split("\r\n")[0])
    return int(head.split(" ")[1]), json.loads(await reader.readexactly(length))


async def talk(octet: Octet, choice: random.Random) -> int:
    """A client that keeps its connection and pipelines now and then; how many of its rows came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", octet.port)
    answered = 0
    while answered < REQUESTS_EACH:
        exchanges = [exchange(choice) for _ in range(choice.choice((1, 1, 2, 5)))]
        writer.write(b"".join(data for data, _, _ in exchanges))
        for _, status, document in exchanges:
            came = await read_answer(reader)
            assert came[0] == status, came
            assert document is None or came[1] == document
            answered += 1
    writer.close()
    await writer.wait_closed()
    return answered


async def vanish(octet: Octet, choice: random.Random) -> None:
    """A client that sends a request, or a part of one, and goes away at once."""
    for _ in range(REQUESTS_EACH):
        _, writer = await asyncio.open_connection("127.0.0.1", octet.port)
        data, _, _ = exchange(choice)
        writer.write(data[: choice.choice((len(data), len(data) // 2, len(data) - 1))])
        await writer.drain()
        writer.transport.abort()


@pytest.mark.parametrize("flags", [(), ("--max-wait-ms", "2"), ("--max-batch-rows", "64", "--instances", "2")])
async def test_everyone_gets_exactly_their_own_rows(serve: Serve, flags: tuple[str, ...]) -> None:
    octet = serve("--queue-rows", "100000", *flags)
    for seed in range(3):
        clients = [talk(octet, random.Random(f"{seed}-{number}")) for number in range(CLIENTS)]
        leaving = [vanish(octet, random.Random(f"{seed}-leaving-{number}")) for number in range(4)]
        async with asyncio.timeout(PATIENCE_SECONDS):
            answered, _ = await asyncio.gather(asyncio.gather(*clients), asyncio.gather(*leaving))
        assert min(answered) >= REQUESTS_EACH
    octet.until("octet_pending_rows{", lambda rows: rows == 0)
    assert octet.sample('octet_rejected_total{reason="internal"}') == 0
