"""Spans as a real collector gets them: of every kind of request, through both doors, whatever becomes of it."""

import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.service.collector import ERROR, UNSET, Collector, Seen
from tests.service.conftest import FLAGS
from tests.service.door_cases import WAITING, lasting
from tests.service.process import ASGI_DOOR, OCTET, Octet, alive, eventually
from tests.service.test_both_doors import ALL, transcript
from tests.service.wire import request

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"traceparent: 00-{TRACE_ID}-{PARENT_ID}-01"
NOT_SAMPLED = f"traceparent: 00-{TRACE_ID}-{PARENT_ID}-00"
ROWS = {"instances": [[1, 2], [3, 4]]}
ROUTE = "/v1/models/{model}:predict"

Traced = Callable[..., Octet]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture
def traced(doors_store: Path, tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Traced]:
    """Starts servers that send their spans to the collector; what they have not sent yet they send when they stop."""
    with ExitStack() as servers:

        def traced(*flags: str, command: tuple[str, ...] = (OCTET,), endpoint: str = collector.url) -> Octet:
            folder = tmp_path_factory.mktemp("traced")
            flags = (*FLAGS, "--otlp-endpoint", endpoint, *flags)
            return servers.enter_context(Octet(folder, doors_store, *flags, command=command))

        yield traced


both_doors = pytest.mark.parametrize("command", [(OCTET,), ASGI_DOOR], ids=["fast", "asgi"])


@both_doors
def test_a_request_is_a_span_of_its_clients_trace(
    command: tuple[str, ...], traced: Traced, collector: Collector
) -> None:
    octet = traced(command=command)
    before = time.time_ns()
    with octet.connect() as wire:
        answer = wire.ask(request(ROWS, "/v1/models/double:predict?a=b", TRACEPARENT, "tracestate: one=1,two=2"))
    after = time.time_ns()
    octet.stop()
    (span,), (batch,) = collector.requests, collector.batches
    assert answer.headers["traceparent"] == f"00-{TRACE_ID}-{span.span_id}-01"
    assert (span.name, span.trace_id, span.parent_id) == (f"POST {ROUTE}", TRACE_ID, PARENT_ID)
    assert span.trace_state == "one=1,two=2"
    own = dict(span.attributes)
    waited, ran = own.pop("octet.queue_seconds"), own.pop("octet.compute_seconds")
    assert own == {
        "http.request.method": "POST",
        "http.route": ROUTE,
        "url.path": "/v1/models/double:predict",
        "url.scheme": "http",
        "http.response.status_code": 200,
        "octet.request_id": answer.headers["x-request-id"],
        "octet.model": "double",
        "octet.version": "1.2.3",
        "octet.variant": "fp32",
        "octet.rows": 2,
    }
    assert answer.headers["server-timing"] == f"queue;dur={waited * 1000:.3f}, compute;dur={ran * 1000:.3f}"
    assert (span.status, span.links) == (UNSET, {batch.ids})
    assert before <= span.start_ns < batch.start_ns < batch.end_ns < span.end_ns <= after


@both_doors
def test_a_batch_is_a_trace_that_links_to_its_requests(
    command: tuple[str, ...], traced: Traced, collector: Collector
) -> None:
    """Three wait while the only worker is busy, then run together; one of them need not be told of."""
    octet = traced(command=command)
    with ExitStack() as clients:
        first, *others = [clients.enter_context(octet.connect()) for _ in range(4)]
        first.send(lasting(5000))
        octet.until('octet_pending_rows{model="slow"', lambda rows: rows == 0)
        for wire, head in zip(others, (TRACEPARENT, "a: b", NOT_SAMPLED), strict=True):
            wire.send(lasting(0, head))
        octet.until(WAITING, lambda rows: rows == 3)
        answers = [wire.answer() for wire in (first, *others)]
    octet.stop()
    alone, together = sorted(collector.batches, key=lambda batch: batch.start_ns)
    by_header = {span.header: span for span in collector.requests}
    told = [answer.headers["traceparent"] for answer in answers]
    assert set(by_header) == {header[:-3] for header in told[:3]}
    assert told[3] not in by_header
    assert told[3].startswith(f"00-{TRACE_ID}-")
    assert told[3].endswith("-00")
    assert alone.links == {by_header[told[0][:-3]].ids}
    assert together.links == {by_header[header[:-3]].ids for header in told[1:3]}
    assert (together.name, together.parent_id, together.status) == ("batch slow", "", UNSET)
    assert together.attributes == {
        "octet.model": "slow",
        "octet.version": "1.2.3",
        "octet.variant": "fp32",
        "octet.engine": answers[0].headers["octet-engine"],
        "octet.requests": 3,
        "octet.rows": 3,
        "octet.release": "idle",
        "thread.name": "octet-slow-1.2.3-0",
    }


def test_whatever_is_asked_both_doors_send_the_same_bytes_and_the_same_spans(traced: Traced) -> None:
    """Every case of the doors. What spans say of each other holds for all of them."""
    seen = []
    with ExitStack() as collectors:
        for command in ((OCTET,), ASGI_DOOR):
            collector = collectors.enter_context(Collector())
            octet = traced(command=command, endpoint=collector.url)
            answers = [transcript(octet, case) for case in ALL.values()]
            octet.stop()
            assert_consistent(collector)
            seen.append((answers, Counter(facts(span) for span in collector.requests)))
    (bytes_of_one, spans_of_one), (bytes_of_other, spans_of_other) = seen
    for name, one, other in zip(ALL, bytes_of_one, bytes_of_other, strict=True):
        assert one == other, name
    assert spans_of_one == spans_of_other
    assert sum(spans_of_one.values()) > len(ALL) / 2


def facts(span: Seen) -> tuple[Any, ...]:
    """What a span says, but for ids and times."""
    varying = ("octet.request_id", "octet.queue_seconds", "octet.compute_seconds")
    own = tuple(sorted((key, value) for key, value in span.attributes.items() if key not in varying))
    return span.name, span.status, len(span.links), own


def assert_consistent(collector: Collector) -> None:
    requests = {span.ids: span for span in collector.requests}
    batches = {batch.ids: batch for batch in collector.batches}
    assert len(requests) + len(batches) == len(collector.spans)
    for span in requests.values():
        code = span.attributes["http.response.status_code"]
        assert ("error.type" in span.attributes) == (code != 200)
        assert span.status == (ERROR if code >= 500 else UNSET)
        assert span.links == {batch.ids for batch in batches.values() if span.ids in batch.links}
        ran_ns = sum(batches[ids].end_ns - batches[ids].start_ns for ids in span.links)
        if code == 200:
            assert span.links or not span.attributes["octet.rows"]
            assert span.attributes["octet.compute_seconds"] * 1e9 == pytest.approx(ran_ns, abs=len(span.links) + 1)
    for batch in batches.values():
        assert len(batch.links) == batch.attributes["octet.requests"]
        assert batch.links <= set(requests)


@both_doors
def test_a_request_whose_client_left_is_a_span_too(
    command: tuple[str, ...], traced: Traced, collector: Collector
) -> None:
    octet = traced("--max-batch-rows", "1", command=command)
    with octet.connect() as other:
        with octet.connect() as runs, octet.connect() as waits:
            runs.send(lasting(3000))
            alive(other)
            waits.send(lasting(0))
            octet.until(WAITING, lambda rows: rows == 1)
            runs.vanish()
            waits.vanish()
        octet.until('octet_cancelled_total{model="slow"', lambda count: count == 2)
        alive(other)
    octet.stop()
    spans = collector.requests
    assert [span.attributes["http.response.status_code"] for span in spans] == [499, 499]
    assert {span.attributes["error.type"] for span in spans} == {"cancelled"}
    assert {span.status for span in spans} == {UNSET}


def test_a_late_answer_is_an_error_of_the_server(traced: Traced, collector: Collector) -> None:
    octet = traced()
    with octet.connect() as wire:
        assert wire.ask(lasting(1000, "x-request-timeout-ms: 1")).status == 504
    octet.stop()
    (span,) = collector.requests
    assert (span.status, span.attributes["error.type"]) == (ERROR, "deadline_exceeded")


def test_a_batch_says_what_a_run_raised(traced: Traced, collector: Collector) -> None:
    """What the model does not take is the client's fault: the batch is no failure."""
    octet = traced()
    assert octet.predict("pick", {"instances": [1000]}).status_code == 400
    octet.stop()
    (batch,) = collector.batches
    assert (batch.status, batch.attributes["error.type"]) == (UNSET, "input_refused")


INVALID = {
    "empty": "",
    "no hexadecimal": f"00-{TRACE_ID[:-1]}g-{PARENT_ID}-01",
    "capitals": f"00-{TRACE_ID.upper()}-{PARENT_ID}-01",
    "no trace": f"00-{'0' * 32}-{PARENT_ID}-01",
    "no span": f"00-{TRACE_ID}-{'0' * 16}-01",
    "the forbidden version": f"ff-{TRACE_ID}-{PARENT_ID}-01",
    "more than version 0 has": f"00-{TRACE_ID}-{PARENT_ID}-01-more",
    "long": "00-" + "a" * 2000,
    "no text": "00-\xff\xfe",
    "two": f"00-{TRACE_ID}-{PARENT_ID}-01\r\ntraceparent: 00-{TRACE_ID}-{PARENT_ID}-01",
}


@both_doors
def test_an_invalid_parent_is_none(command: tuple[str, ...], traced: Traced, collector: Collector) -> None:
    octet = traced(command=command)
    with octet.connect() as wire:
        for text in INVALID.values():
            assert wire.ask(request(ROWS, "/v1/models/double:predict", f"traceparent: {text}")).status == 200
        later = f"traceparent: cc-{TRACE_ID}-{PARENT_ID}-01-whatever"
        garbled = "tracestate: =,,\xff=1"
        assert wire.ask(request(ROWS, "/v1/models/double:predict", later, garbled)).status == 200
    octet.stop()
    *roots, child = sorted(collector.requests, key=lambda span: span.start_ns)
    assert {span.parent_id for span in roots} == {""}
    assert len({span.trace_id for span in roots} - {TRACE_ID}) == len(INVALID)
    assert (child.trace_id, child.parent_id, child.trace_state) == (TRACE_ID, PARENT_ID, "")
    assert octet.log("draining")[0] == octet.log()[-2], "nothing was said of them"


def test_the_sampler_decides_for_those_whose_client_did_not(
    traced: Traced, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    octet = traced()
    heads = ("a: b", TRACEPARENT, NOT_SAMPLED)
    with octet.connect() as wire:
        told = [
            wire.ask(request(ROWS, "/v1/models/double:predict", head)).headers["traceparent"].rpartition("-")
            for head in heads
        ]
    octet.stop()
    assert [int(flags, 16) & 1 for _, _, flags in told] == [0, 1, 0]
    assert [span.header for span in collector.requests] == [told[1][0]]
    assert [batch.links for batch in collector.batches] == [{collector.requests[0].ids}]


def test_the_variables_of_opentelemetry_hold(
    traced: Traced, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "digits in Ghent")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=9,deployment.environment.name=test")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    octet = traced(endpoint=f"{collector.url}/below/")
    assert octet.predict("double", ROWS).status_code == 200
    octet.stop()
    ((path, headers),) = collector.posted
    assert (path, headers["api-key"], headers["content-encoding"]) == ("/below/v1/traces", "secret", "gzip")
    told = collector.spans[0].resource
    assert (told["service.name"], told["service.version"]) == ("digits in Ghent", "9")
    assert told["deployment.environment.name"] == "test"


def test_the_resource_is_octet_of_its_version(traced: Traced, collector: Collector) -> None:
    octet = traced()
    octet.predict("double", ROWS)
    octet.stop()
    told = collector.spans[0].resource
    assert (told["service.name"], told["service.version"]) == ("octet", "0.1.0")


def test_a_collector_that_refuses_is_told_of_once_and_once_that_it_takes_again(
    traced: Traced, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")  # milliseconds
    collector.status = 401
    octet = traced()
    for posted in (1, 2, 3):
        assert octet.predict("double", ROWS).status_code == 200
        eventually(lambda posted=posted: len(collector.posted) >= posted, "it is tried")
    collector.status = 200
    assert octet.predict("double", ROWS).status_code == 200
    eventually(lambda: octet.log("spans are taken again"), "it takes them")
    octet.stop()
    (refused,), (taken,) = octet.log("spans are not taken"), octet.log("spans are taken again")
    assert (refused["level"], refused["url"]) == ("warning", f"{collector.url}/v1/traces")
    assert "401" in refused["reason"]
    assert taken["lost"] + len(collector.spans) == 8
    assert [line["event"] for line in octet.log()[-4:]] == [
        "spans are not taken", "spans are taken again", "draining", "stopped",
    ]  # fmt: skip


def test_without_a_collector_requests_are_answered(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
    with socket.socket() as nobody:  # bound and not listening: connections are refused
        nobody.bind(("127.0.0.1", 0))
        octet = traced(endpoint=f"http://127.0.0.1:{nobody.getsockname()[1]}")
        for _ in range(50):
            assert octet.predict("double", ROWS).status_code == 200
        octet.stop()
    assert {line["event"] for line in octet.log()} <= {
        "version is available", "spans are not taken", "draining", "stopped",
    }  # fmt: skip
    assert len(octet.log("spans are not taken")) <= 1


def test_a_collector_that_never_answers_keeps_no_server_up(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        octet = traced(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert octet.predict("double", ROWS).status_code == 200
        octet.stop()


def test_off_nothing_of_it_is_imported_and_nothing_told(doors_store: Path, tmp_path: Path) -> None:
    run = "from app.cli.main import main; main()"
    with Octet(tmp_path, doors_store, command=(sys.executable, "-X", "importtime", "-c", run)) as octet:
        with octet.connect() as wire:
            assert "traceparent" not in wire.ask(request(ROWS, "/v1/models/double:predict", TRACEPARENT)).headers
        octet.stop()
        imported = {line.rpartition("|")[2].strip() for line in octet.log_text.splitlines() if "import time:" in line}
    assert "app.lifespan" in imported
    parts = ("app.tracing", "opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto", "requests")
    assert not {name for name in imported if name.startswith(parts)}


def test_on_and_not_installed_it_says_what_to_install(doors_store: Path, tmp_path: Path) -> None:
    without = "import sys; sys.modules['opentelemetry.sdk'] = None; from app.cli.main import main; main()"
    with pytest.raises(AssertionError, match=r"octet: otlp_endpoint is set, .*octet-serving\[otel\]"):
        Octet(
            tmp_path, doors_store, "--otlp-endpoint", "http://127.0.0.1:4318", command=(sys.executable, "-c", without)
        )


def test_the_page_of_metrics_names_the_trace_where_openmetrics_is_asked_for(
    traced: Traced, collector: Collector
) -> None:
    octet = traced()
    octet.predict("double", ROWS)
    plain = octet.get("/metrics")
    full = octet.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    octet.stop()
    (span,) = collector.requests
    named = f'# {{span_id="{span.span_id}",trace_id="{span.trace_id}"}}'
    told = {line.partition("_bucket{")[0] for line in full.text.splitlines() if named in line}
    assert told == {f"octet_{part}_duration_seconds" for part in ("request", "queue", "compute")}
    assert full.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert full.text.endswith("# EOF\n")
    assert span.trace_id not in plain.text
    assert plain.headers["content-type"].startswith("text/plain; version=")
