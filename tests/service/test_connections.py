"""What HTTP promises of a connection, seen on the socket."""

import gzip
import json

import psutil
import pytest

from tests.service.conftest import Serve
from tests.service.door_cases import GZIPPED, LIMIT_BYTES, ROWS, WAITING, keep_busy, lasting, model
from tests.service.process import Octet, alive
from tests.service.wire import PREDICT, Wire, chunked, request

LIVE = request(b"", "/healthz/live", method="GET")
GARBAGE = b"ROWS, PLEASE\r\n\r\n"


def rows(number: int) -> bytes:
    """A request whose answer tells which one it was."""
    return request({"instances": [[number, number]]})


def answer_to(number: int) -> dict[str, list[list[int]]]:
    return {"predictions": [[2 * number, 2 * number]]}


def assert_closed(wire: Wire) -> None:
    assert wire.rest() == b""


def test_pipelined_requests_are_answered_in_order(server: Octet) -> None:
    """Slow and quick ones, errors, chunks, and requests that the framework answers."""
    with server.connect() as wire:
        wire.send(
            lasting(300) + request(GZIPPED, PREDICT, "content-encoding: gzip") + rows(1) + LIVE + request(b"{")
            + chunked([b'{"instances":', b" [[3, 3]]}"])
            + request(ROWS, model("none")) + lasting(20) + LIVE + LIVE + rows(4)
        )  # fmt: skip
        answers = [wire.answer() for _ in range(11)]
        assert [answer.status for answer in answers] == [200, 200, 200, 200, 400, 200, 404, 200, 200, 200, 200]
        assert [answers[i].json() for i in (0, 1, 2, 3, 5, 7, 10)] == [
            {"predictions": [300]}, {"predictions": [[2, 4], [7, -8]]}, answer_to(1), {"status": "alive"},
            answer_to(3), {"predictions": [20]}, answer_to(4),
        ]  # fmt: skip


@pytest.mark.parametrize("piece_bytes", [1, 7, 64, 1000, 1 << 20])
def test_more_pipelined_requests_than_are_taken_up_at_once(server: Octet, piece_bytes: int) -> None:
    """In whatever pieces they arrive. Each tenth one is the framework's."""
    stream = lasting(100) + b"".join(LIVE if number % 10 == 9 else rows(number) for number in range(50))
    with server.connect() as wire:
        wire.send(*(stream[at : at + piece_bytes] for at in range(0, len(stream), piece_bytes)))
        assert wire.answer().json() == {"predictions": [100]}
        for number in range(50):
            assert wire.answer().json() == ({"status": "alive"} if number % 10 == 9 else answer_to(number))


def test_one_connection_serves_many_requests_one_after_the_other(server: Octet) -> None:
    with server.connect() as wire:
        for number in range(100):
            assert wire.ask(rows(number)).json() == answer_to(number)
            assert wire.ask(LIVE).status == 200


@pytest.mark.parametrize("first", [rows(1), LIVE, request(b"{"), lasting(100)], ids=["rows", "live", "error", "slow"])
@pytest.mark.parametrize("then", [rows(2) + LIVE, GARBAGE], ids=["more", "garbage"])
def test_nothing_is_answered_after_connection_close(server: Octet, first: bytes, then: bytes) -> None:
    closing = first.replace(b"host: test", b"host: test\r\nconnection: close")
    with server.connect() as wire:
        answer = wire.ask(closing + then)
        assert answer.headers["connection"] == "close"
        assert_closed(wire)


def test_a_body_still_on_its_way_is_no_new_request_after_connection_close(server: Octet) -> None:
    """It is read to its end, so that the answer is not lost to a reset; what follows it is not."""
    with server.connect() as wire:
        answer = wire.ask(request(b"", model("none"), "connection: close", length=100_000))
        assert (answer.status, answer.headers["connection"]) == (404, "close")
        wire.send(b" " * 90_000, b" " * 10_000, rows(2))
        assert_closed(wire)


@pytest.mark.parametrize(
    "valid",
    [rows(1), LIVE, request(b"{"), lasting(100), rows(1) + LIVE, LIVE + rows(1), lasting(50) + LIVE + LIVE + rows(1)],
    ids=["rows", "live", "error", "slow", "rows, live", "live, rows", "four"],
)
def test_garbage_is_refused_after_what_came_before_it_is_answered(server: Octet, valid: bytes) -> None:
    with server.connect() as wire:
        wire.send(valid + GARBAGE)
        for _ in range(valid.count(b"HTTP/1.1")):
            assert "connection" not in wire.answer().headers
        refusal = wire.answer()
        assert (refusal.status, refusal.headers["connection"]) == (400, "close")
        assert "HTTP" in refusal.error
        assert_closed(wire)


@pytest.mark.parametrize("path", [PREDICT, model("none"), "/v1/store:refresh"])
def test_a_body_that_breaks_off_into_garbage_is_refused_at_once(server: Octet, path: str) -> None:
    """Not when its time is over."""
    broken = request(b"", path, "transfer-encoding: chunked", length=-1) + b"2\r\n{ no chunk follows"
    with server.connect() as wire:
        wire.send(broken)
        if path == model("none"):
            assert wire.answer().status == 404, "known from the head"
        answer = wire.answer()
        assert (answer.status, answer.headers["connection"]) == (400, "close")
        assert_closed(wire)


@pytest.mark.parametrize("path", [PREDICT, "/v1/store:refresh"])
@pytest.mark.parametrize(
    "before", [lasting(100) + rows(1), LIVE + LIVE, rows(1) + LIVE], ids=["calls", "asgi", "mixed"]
)
def test_a_body_that_breaks_off_behind_others(server: Octet, before: bytes, path: str) -> None:
    broken = request(b"", path, "transfer-encoding: chunked", length=-1) + b"2\r\n{ no chunk follows"
    with server.connect() as wire:
        wire.send(before + broken)
        assert [wire.answer().status for _ in range(3)] == [200, 200, 400]
        assert_closed(wire)


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(serve: Serve) -> None:
    octet = serve("--keep-alive-seconds", "0.2")  # uvicorn counts whole seconds; none would close at once
    with octet.connect() as idle, octet.connect() as asgi, octet.connect() as busy:
        idle.ask(rows(1))
        asgi.ask(LIVE)
        busy.send(lasting(6000))
        assert_closed(idle)
        assert_closed(asgi)
        assert busy.answer().json() == {"predictions": [6000]}, "longer than the keep-alive time"
        assert_closed(busy)


@pytest.mark.parametrize("path", [PREDICT, model("none")])
def test_a_connection_whose_body_never_comes_is_closed(serve: Serve, path: str) -> None:
    """Its request is answered at its deadline, or at once where it can be refused; then it is idle."""
    octet = serve("--keep-alive-seconds", "1")
    with octet.connect() as wire:
        answer = wire.ask(request(b"", path, "x-request-timeout-ms: 20", length=100_000))
        assert answer.status == (504 if path == PREDICT else 404)
        assert_closed(wire)


@pytest.mark.parametrize("path", ["/v2/repository/index", "/v2/repository/models/double/load", "/v2/logging"])
def test_the_framework_waits_no_longer_for_a_body_either(serve: Serve, path: str) -> None:
    octet = serve("--deadline-ms", "50", "--keep-alive-seconds", "1")
    with octet.connect() as wire:
        answer = wire.ask(request(b"", path, length=10))
        assert (answer.status, answer.error) == (504, "the body did not arrive within 0.05 s: allow more (deadline_ms)")
        assert_closed(wire)


def test_a_body_over_the_limit_is_refused_before_it_is_read(server: Octet) -> None:
    with server.connect() as wire:
        answer = wire.ask(request(b"", length=LIMIT_BYTES + 1))
        assert answer.status == 413
        assert f"{LIMIT_BYTES} bytes" in answer.error


def test_a_client_that_sends_its_whole_large_body_first_can_read_why_it_is_refused(server: Octet) -> None:
    with server.connect() as wire:
        assert wire.ask(request(b" " * (8 * LIMIT_BYTES))).status == 413
        assert wire.ask(rows(1)).json() == answer_to(1)


def test_chunks_and_gzip_that_grow_over_the_limit(server: Octet) -> None:
    with server.connect() as wire:
        wire.send(chunked([b" " * 100_000] * 3))
        assert wire.answer().status == 413
        bomb = gzip.compress(bytes(50 << 20))
        assert wire.ask(request(bomb, PREDICT, "content-encoding: gzip")).status == 413
        assert wire.ask(rows(1)).json() == answer_to(1)


@pytest.mark.parametrize("path", [PREDICT, "/v1/store:refresh"])
def test_an_offer_to_change_the_protocol_is_passed_over(server: Octet, path: str) -> None:
    """Made as Java's HttpClient does, which sends the body all the same."""
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk")
    with server.connect() as wire:
        for pieces in ((request(ROWS, path, *offer),), (request(b"", path, *offer, length=34), request(ROWS)[-34:])):
            assert wire.send(*pieces).answer().status == 200
        assert wire.ask(rows(1)).json() == answer_to(1)


def test_a_client_that_expects_to_be_asked_for_its_body(server: Octet) -> None:
    head = request(b"", PREDICT, "expect: 100-continue", length=30)
    with server.connect() as wire:
        assert wire.ask(head).status == 100
        assert wire.ask(b'{"instances": [[1, 2], [3,4]]}').status == 200
        head = request(b"", model("none"), "expect: 100-continue", length=100_000)
        assert wire.ask(head).status == 404, "needs no body for that"


def test_a_client_that_never_reads_its_answers_holds_up_itself_alone(serve: Serve) -> None:
    """The server stops reading from it, so that the socket's buffers fill and it cannot send on."""
    server = serve("--queue-rows", "100000")
    process = psutil.Process(server.process.pid)
    stream = memoryview(request({"instances": [[1, 2]] * 1000}) * 5000)
    before = process.memory_info().rss
    with server.connect() as deaf, server.connect() as other:
        deaf.socket.setblocking(False)
        full = 0
        while full < 5:
            try:
                stream = stream[deaf.socket.send(stream) :]
                assert stream, "the server read it all"
                full = 0
            except BlockingIOError:
                full += 1
                assert other.ask(lasting(50)).json() == {"predictions": [50]}
        assert process.memory_info().rss - before < 20 << 20


def test_a_client_that_vanishes_amid_its_body_leaves_nothing_behind(server: Octet) -> None:
    before = server.sample('octet_cancelled_total{model="double"')
    with server.connect() as other:
        gone = server.connect()
        gone.send(request(ROWS)[:-5])
        other.ask(rows(1))
        gone.vanish()
        server.until('octet_cancelled_total{model="double"', lambda value: value == before + 1)
        assert other.ask(rows(2)).json() == answer_to(2)


def test_a_client_that_vanishes_while_it_waits_leaves_the_queue(serve: Serve) -> None:
    octet = serve("--max-batch-rows", "1")
    with octet.connect() as running, octet.connect() as neighbour:
        keep_busy(octet, running)
        gone = octet.connect().send(lasting(7) + lasting(8))
        neighbour.send(lasting(9))
        octet.until(WAITING, lambda rows: rows == 4)
        gone.vanish()
        octet.until(WAITING, lambda rows: rows == 2)
        assert octet.sample('octet_cancelled_total{model="slow"') == 2
        assert [running.answer().json(), running.answer().json()] == [{"predictions": [5000]}, {"predictions": [0]}]
        assert neighbour.answer().json() == {"predictions": [9]}


def test_nothing_is_written_to_a_client_that_vanished_while_others_wait_in_its_line(serve: Serve) -> None:
    """The framework's first request is started when the call before it is answered, and is not the last that came.

    A server that logged a traceback does not end cleanly.
    """
    octet = serve("--max-batch-rows", "1")
    with octet.connect() as running, octet.connect() as behind:
        keep_busy(octet, running, 1000)
        octet.connect().send(lasting(20) + LIVE + LIVE).vanish()
        octet.connect().send(LIVE + LIVE + lasting(20) + LIVE + LIVE).vanish()
        assert alive(behind).ask(lasting(21)).status == 200, "those before it in the queue are answered by now"


def test_an_offer_to_change_the_protocol_never_turns_a_body_into_a_request(server: Octet) -> None:
    """Where the offer cannot be passed over (its head came in pieces), nothing after it is read."""
    inner = rows(7)
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n".encode()
    with server.connect() as wire:
        alive(wire)
        wire.send(head)
        with server.connect() as other:
            alive(other)  # the server has read the first piece by now
        wire.send(f"Content-Length: {len(inner)}\r\n\r\n".encode() + inner)
        answer = wire.answer()
        assert (answer.status, "Upgrade" in answer.error) == (400, True)
        assert_closed(wire)


def test_a_head_without_an_end_is_refused(server: Octet) -> None:
    with server.connect() as wire:
        wire.send(
            f"POST {PREDICT} HTTP/1.1\r\nx-filler: ".encode().ljust(65_537, b"y")
        )  # the last byte is one too many
        answer = wire.answer()
        assert (answer.status, "65536 bytes" in answer.error) == (431, True)
        assert_closed(wire)


def test_a_large_body_of_an_uncommon_form_gets_its_own_rows(server: Octet) -> None:
    """Such a body is decoded outside the event loop."""
    numbers = [[number + 0.5, number] for number in range(900)]
    body = json.dumps({"who": "x" * 70_000, "instances": numbers}).encode()
    with server.connect() as wire:
        answer = wire.ask(request(body))
        assert answer.json() == {"predictions": [[2 * a, 2 * b] for a, b in numbers]}
        assert "expected a number" in wire.ask(request(body.replace(b"[0.5, 0]", b"[true, 0]"))).error


def test_the_deadline_holds_while_a_large_body_is_decoded(serve: Serve) -> None:
    server = serve("--max-body-bytes", "64MiB")
    body = json.dumps({"instances": [[0.5] * 1000] * 3000 + [[True]]}).encode()
    with server.connect() as wire:
        answer = wire.ask(request(body, PREDICT, "x-request-timeout-ms: 400"))
        assert (answer.status, "could not be read" in answer.error) == (504, True)
        assert wire.ask(rows(3)).json() == answer_to(3)
