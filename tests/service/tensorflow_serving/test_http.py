"""What TensorFlow Serving does with HTTP itself: statuses of errors, packed requests, CORS, Prometheus."""

import gzip
from collections.abc import Iterator

import pytest

from tests.service.conftest import FLAGS
from tests.service.door_cases import BODY, ROWS
from tests.service.process import ASGI_DOOR, OCTET, Octet
from tests.service.tensorflow_serving.conftest import Ask
from tests.service.wire import PREDICT, Answer, Wire, request

ORIGIN = "origin: https://page.example"
DOORS = {"fast": (OCTET,), "asgi": ASGI_DOOR}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/models/float32:predict", {"instances": ["1"]}, 400),
        ("/v1/models/float32:guess", {"instances": [1]}, 400),
        ("/v1/models/float32/labels/none:predict", {"instances": [1]}, 400),
        ("/v1/models/nobody:predict", {"instances": [1]}, 404),
        ("/v1/models/float32/versions/9:predict", {"instances": [1]}, 404),
        ("/v1/models/float32:classify", {"examples": [{}]}, 501),
        ("/v1/models/broken:predict", {"instances": [1]}, 503),
    ],
)
def test_an_error_is_one_key_of_json(ask: Ask, path: str, body: object, status: int) -> None:
    answer = ask("POST", path, body)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.error


def test_a_packed_request_is_unpacked(ask: Ask) -> None:
    body = gzip.compress(b'{"instances": [1]}')
    assert ask("POST", "/v1/models/float32:predict", body, "content-encoding: gzip").status == 200


def test_an_answer_is_packed_only_for_who_asks(ask: Ask) -> None:
    rows = {"instances": list(range(5000))}
    assert "content-encoding" not in ask("POST", "/v1/models/float32:predict", rows).headers


def test_prometheus_reads_the_metrics_where_tensorflow_serving_has_them(server: Octet) -> None:
    here, there = server.get("/metrics"), server.get("/monitoring/prometheus/metrics")
    assert there.status_code == 200
    assert there.headers["content-type"] == here.headers["content-type"]
    assert there.headers["content-type"].startswith("text/plain")
    assert "octet_requests_total" in there.text


# --- CORS


@pytest.fixture(scope="module", params=DOORS)
def open_to_pages(
    request: pytest.FixtureRequest, doors_store: object, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Octet]:
    """A server with the setting `cors`, behind each door."""
    folder = tmp_path_factory.mktemp("cors")
    with Octet(folder, doors_store, *FLAGS, "--cors", command=DOORS[request.param]) as octet:
        yield octet
        octet.stop()


def assert_readable_by_pages(answer: Answer) -> None:
    """Once each, for a browser takes no header that comes twice."""
    head = answer.head.decode().lower()
    assert head.count("\r\naccess-control-allow-origin: *\r\n") == head.count("access-control-allow-origin") == 1
    assert head.count("\r\naccess-control-expose-headers: *\r\n") == head.count("access-control-expose-headers") == 1


@pytest.mark.parametrize("path", [PREDICT, "/V1/models/nobody", "/v2/models/double/infer", "/metrics", "/", "/nowhere"])
def test_a_browser_may_ask_before_a_scripts_request(open_to_pages: Octet, path: str) -> None:
    with open_to_pages.connect() as wire:
        answer = wire.send(request(b"", path, ORIGIN, "access-control-request-method: POST", method="OPTIONS")).answer()
    assert (answer.status, answer.body) == (200, b"")
    assert_readable_by_pages(answer)
    assert answer.headers["access-control-allow-methods"] == "POST, GET"
    allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert {"content-type", "content-encoding", "inference-header-content-length"} <= set(allowed)
    assert {"x-request-id", "x-request-timeout-ms"} <= set(allowed)


def test_every_answer_may_be_read(open_to_pages: Octet) -> None:
    def ask(wire: Wire, method: str, path: str, body: object, status: int) -> None:
        for origin in ((ORIGIN,), ()):
            answer = wire.send(request(body, path, *origin, method=method)).answer(method)
            assert answer.status == status
            assert_readable_by_pages(answer)

    with open_to_pages.connect() as wire:
        ask(wire, "POST", PREDICT, ROWS, 200)
        ask(wire, "POST", PREDICT, b"", 400)
        ask(wire, "POST", "/v1/models/nobody:predict", ROWS, 404)
        ask(wire, "GET", "/v1/models/double", b"", 200)
        ask(wire, "GET", "/v1/models/nobody", b"", 404)
        ask(wire, "HEAD", "/nowhere", b"", 404)
        ask(wire, "PUT", "/v1/models/double", b"", 400)


def test_options_without_an_origin_is_no_browsers(open_to_pages: Octet) -> None:
    with open_to_pages.connect() as wire:
        answer = wire.send(request(b"", PREDICT, method="OPTIONS")).answer()
    assert (answer.status, "Origin" in answer.error) == (400, True)


def test_without_the_setting_no_page_is_let_in(ask: Ask) -> None:
    answers = [ask(method, "/v1/models/float32:predict", BODY, ORIGIN) for method in ("POST", "OPTIONS")]
    answers.append(ask("GET", "/v1/models/float32", b"", ORIGIN))
    assert [answer.status for answer in answers] == [400, 400, 200]
    assert all("access-control" not in answer.head.decode().lower() for answer in answers)
