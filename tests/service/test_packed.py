"""Answers packed for clients that accept it: the same answer, never where nobody asked, and clients who do not wait."""

import gzip
import json
import zlib
from typing import Any

import pytest

from tests.service.infer_cases import BINARY_OUT, INFER, LENGTH, WIDE
from tests.service.packed_cases import GZIP, MANY, ODD_INPUTS
from tests.service.process import Octet, alive
from tests.service.wire import PREDICT, Answer, request

UNPACK = {"gzip": gzip.decompress, "deflate": zlib.decompress}
DESCRIBES = {"content-length", "content-encoding", "date", "x-request-id", "server-timing"}


def ask(octet: Octet, body: object, path: str, *headers: str) -> Answer:
    with octet.connect() as wire:
        return wire.ask(request(body, path, *headers))


def described(answer: Answer) -> dict[str, str]:
    return {name: text for name, text in answer.headers.items() if name not in DESCRIBES}


BINARY = json.dumps(WIDE | BINARY_OUT).encode()


@pytest.mark.parametrize("encoding", UNPACK)
@pytest.mark.parametrize(
    ("body", "path", "headers"),
    [(MANY, PREDICT, ()), (WIDE, INFER, ()), (BINARY, INFER, (f"{LENGTH}: {len(BINARY)}",))],
    ids=["predict", "infer", "infer, raw tensors"],
)
def test_a_packed_answer_is_the_plain_one(
    door: Octet, body: object, path: str, headers: tuple[str, ...], encoding: str
) -> None:
    plain = ask(door, body, path, *headers)
    packed = ask(door, body, path, *headers, f"accept-encoding: {encoding}")
    assert (plain.status, packed.status) == (200, 200)
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == encoding
    assert len(packed.body) < len(plain.body)
    assert UNPACK[encoding](packed.body) == plain.body
    assert described(packed) == described(plain)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"instances": [[1, 2]]}, PREDICT),
        (ODD_INPUTS, PREDICT),
        (MANY, "/v1/models/none:predict"),
        (b"{", INFER),
        ({"text_input": "a" * 5000}, "/v2/models/echo/generate"),
        ({"text_input": "a" * 5000}, "/v2/models/echo/generate_stream"),
    ],
    ids=["small", "a long error", "unknown model", "malformed", "generate", "stream"],
)
def test_what_is_small_an_error_or_generated_comes_as_it_is(door: Octet, body: object, path: str) -> None:
    accepting, plain = ask(door, body, path, GZIP), ask(door, body, path)
    assert (accepting.status, accepting.body) == (plain.status, plain.body)
    assert "content-encoding" not in accepting.headers
    assert json.loads(accepting.body.removeprefix(b"data: "))


def test_an_error_may_be_longer_than_what_is_packed(door: Octet) -> None:
    """Else the one above shows nothing."""
    assert len(ask(door, ODD_INPUTS, PREDICT).body) > 1024


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/openapi.json", "/metrics", "/v1/models/double", "/v2", "/v2/models/double/config"])
def test_pages_come_as_they_are(door: Octet, path: str, method: str) -> None:
    with door.connect() as wire:
        answer = wire.send(request(b"", path, "accept-encoding: gzip, deflate, br", method=method)).answer(method)
    assert answer.status == 200 or method == "HEAD"
    assert "content-encoding" not in answer.headers


def test_several_packed_answers_come_in_the_order_of_their_requests(door: Octet) -> None:
    """The small one between them is there at once, and waits for its turn."""
    bodies: list[Any] = [{"instances": [[i, number] for i in range(200)]} for number in range(4)]
    bodies.insert(2, {"instances": [[7, 8]]})
    with door.connect() as wire:
        wire.send(b"".join(request(body, PREDICT, GZIP) for body in bodies))
        answers = [wire.answer() for _ in bodies]
    assert ["content-encoding" in answer.headers for answer in answers] == [True, True, False, True, True]
    for body, answer in zip(bodies, answers, strict=True):
        text = gzip.decompress(answer.body) if "content-encoding" in answer.headers else answer.body
        assert json.loads(text) == {"predictions": [[2 * a, 2 * b] for a, b in body["instances"]]}


def test_clients_who_vanish_while_their_answers_are_packed(door: Octet) -> None:
    body = {"instances": [[i, 0.1] for i in range(1000)]}
    data = request(body, PREDICT, GZIP)
    for _ in range(20):
        with door.connect() as wire:
            wire.send(data)
            wire.vanish()
    with door.connect() as wire:
        answer = alive(wire).ask(data)
    assert json.loads(gzip.decompress(answer.body)) == {"predictions": [[2 * i, 0.2] for i in range(1000)]}
