"""What a request meets when there is too much of something, and the headers that every answer bears."""

import re

import pytest

from tests.service.conftest import Serve
from tests.service.door_cases import ROWS, WAITING, keep_busy, lasting, model
from tests.service.process import Octet
from tests.service.wire import PREDICT, Answer, request

ONE_BY_ONE = ("--max-batch-rows", "1")


def test_a_full_queue_refuses_before_the_body_is_read(serve: Serve) -> None:
    octet = serve(*ONE_BY_ONE, "--queue-rows", "2")
    with octet.connect() as running, octet.connect() as waiting, octet.connect() as refused:
        keep_busy(octet, running)
        waiting.send(lasting(12))
        octet.until(WAITING, lambda value: value == 2)
        for data in (request(b"", model("slow"), length=100), lasting(13)):
            with octet.connect() as wire:
                answer = wire.ask(data)
                assert (answer.status, answer.headers["retry-after"]) == (503, "1")
                assert "queue is full: 2 of 2 rows wait" in answer.error
        assert octet.sample('octet_rejected_total{reason="queue_full"}') == 2
        assert refused.ask(request(ROWS)).status == 200, "another model has its own queue"
        answers = [wire.answer().json() for wire in (running, running, waiting)]
        assert answers == [{"predictions": [5000]}, {"predictions": [0]}, {"predictions": [12]}]
        assert refused.ask(lasting(13)).status == 200


def test_more_rows_than_the_queue_holds_are_refused_for_good(serve: Serve) -> None:
    octet = serve("--queue-rows", "2")
    with octet.connect() as wire:
        answer = wire.ask(request({"instances": [1, 2, 3]}, model("pick")))
        assert (answer.status, "retry-after" in answer.headers) == (413, False)
        assert "3 rows" in answer.error
        assert wire.ask(request({"instances": [1, 2]}, model("pick"))).json() == {"predictions": [3, 6]}


def test_the_deadline_of_what_runs_and_of_what_waits(serve: Serve) -> None:
    octet = serve(*ONE_BY_ONE)
    hurried = "x-request-timeout-ms: 50"
    with octet.connect() as running, octet.connect() as waiting:
        keep_busy(octet, running)
        answer = waiting.ask(lasting(15, hurried))
        assert answer.status == 504
        assert re.match(r"no answer within \d+ ms:", answer.error), "what was left of the 50 once it was decoded"
        assert octet.sample(WAITING) == 1, "the late one is gone from the queue, its neighbour is not"
        assert running.answer().json() == {"predictions": [5000]}
        assert running.answer().json() == {"predictions": [0]}
        assert running.ask(lasting(3000, hurried)).status == 504
        assert running.ask(request(ROWS)).status == 200


def test_an_urgent_request_overtakes_what_waits(serve: Serve) -> None:
    """It comes last and waits the shortest, one that can wait comes first and waits the longest."""
    octet = serve(*ONE_BY_ONE)
    infer = {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [12]}]}
    asked = {
        "patient": request(infer | {"parameters": {"priority": 3}}, "/v2/models/slow/infer"),
        "normal": request(infer, "/v2/models/slow/infer"),
        "urgent": request({"x": 12, "priority": 1}, "/v2/models/slow/generate"),
    }
    with octet.connect() as running:
        keep_busy(octet, running)
        wires = {name: octet.connect() for name in asked}
        for number, (name, data) in enumerate(asked.items(), start=2):
            wires[name].send(data)
            octet.until(WAITING, lambda rows, number=number: rows == number)
        waited = {name: queue_ms(wire.answer()) for name, wire in wires.items()}
    assert waited["urgent"] < waited["normal"] < waited["patient"]


def queue_ms(answer: Answer) -> float:
    assert answer.status == 200
    found = re.match(r"queue;dur=([0-9.]+)", answer.headers["server-timing"])
    assert found
    return float(found[1])


def test_the_models_own_deadline_is_the_longest(serve: Serve) -> None:
    octet = serve("--deadline-ms", "50")
    with octet.connect() as wire:
        assert wire.ask(lasting(3000, "x-request-timeout-ms: 60000")).status == 504


EVERY_KIND = [request(ROWS), request(b"{"), request(b"", model("none")), request(b"", "/healthz/live", method="GET")]


@pytest.mark.parametrize("data", EVERY_KIND, ids=["rows", "malformed", "unknown", "live"])
def test_a_request_id_is_echoed_or_made(server: Octet, data: bytes) -> None:
    def id_for(given: bytes) -> str:
        with server.connect() as wire:
            headers = b"host: test\r\nX-Request-Id: %b" % given
            return wire.ask(data.replace(b"host: test", headers)).headers["x-request-id"]

    with server.connect() as wire:
        made = [wire.ask(data).headers["x-request-id"] for _ in range(10)]
    assert len(set(made)) == 10
    assert all(re.fullmatch("[0-9a-f]{12}-[0-9a-f]+", one) for one in made)
    for safe in (b"mine", b"{'~", b"x" * 128):
        assert id_for(safe) == safe.decode()
    for unsafe in (b"", b"two words", b"x" * 129, b"caf\xc3\xa9", b"tab\tbed"):
        assert re.fullmatch("[0-9a-f]{12}-[0-9a-f]+", id_for(unsafe))


def test_an_answer_tells_what_made_it_and_how_long_it_took(serve: Serve) -> None:
    octet = serve(*ONE_BY_ONE)
    with octet.connect() as running, octet.connect() as waiting:
        keep_busy(octet, running, 2000)
        answer = waiting.ask(lasting(500))
        timing = re.fullmatch(r"queue;dur=(\d+\.\d{3}), compute;dur=(\d+\.\d{3})", answer.headers["server-timing"])
        assert timing
        assert float(timing[1]) > 0
        assert float(timing[2]) > 0
        assert (answer.headers["octet-model-version"], answer.headers["octet-variant"]) == ("1.2.3", "fp32")
        assert re.fullmatch(r"onnxruntime \d+\.\d+\.\d+", answer.headers["octet-engine"])
        assert answer.headers["content-type"] == "application/json"
        assert running.answer().status == 200


def test_any_content_type_is_read_as_json(server: Octet) -> None:
    """`curl -d` sends a form's type."""
    answer = server.client.post(PREDICT, content='{"instances": [[1, 2]]}', headers={"content-type": "text/html"})
    assert answer.json() == {"predictions": [[2, 4]]}
