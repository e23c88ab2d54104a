"""Parents from headers as clients send them, and times of one clock told by another."""

import re
import time
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.http.head import KnownHead, KnownHeads, read_head
from app.http.inference_routes import Targets
from app.http.observing import begin_span
from app.tracing import Tracing
from tests.service.collector import Collector

TARGET = Targets().match(b"/v1/models/m:predict")
assert TARGET is not None
# https://www.w3.org/TR/trace-context/#traceparent-header, blanks around it left out
VALID = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
HEXADECIMAL = "0123456789abcdef"


@pytest.fixture(scope="module")
def tracing() -> Iterator[Tracing]:
    tracing = Tracing("http://127.0.0.1:1", "0.1.0", structlog.get_logger())
    yield tracing
    tracing.close()


def hexadecimal(size: int) -> st.SearchStrategy[str]:
    return st.text(HEXADECIMAL, min_size=size, max_size=size) | st.just("0" * size)


sent = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=80)
likely = st.builds(
    lambda *parts: "-".join(parts[:4]) + parts[4],
    st.sampled_from(["00", "01", "fe", "ff", "0g"]) | hexadecimal(2),
    hexadecimal(32),
    hexadecimal(16),
    hexadecimal(2),
    st.sampled_from(["", "-", "-more", "-a-b", " ", "\t", "x", ", "]),
)
states = st.none() | sent | st.sampled_from(["a=1", "a=1,b=2", "a=1,a=2", ",", "=", "a=1;b", "a@b=c"])


@given(sent | likely, states)
def test_a_parent_is_what_the_header_validly_names(tracing: Tracing, traceparent: str, tracestate: str | None) -> None:
    headers = [(b"traceparent", traceparent.encode("latin-1"))]
    if tracestate is not None:
        headers.append((b"tracestate", tracestate.encode("latin-1")))
    assert TARGET is not None
    span = begin_span(tracing, time.perf_counter(), TARGET, read_head(headers))
    carrier = {name.decode(): value.decode("latin-1") for name, value in headers}
    theirs = get_current_span(TraceContextTextMapPropagator().extract(carrier, Context())).get_span_context()
    found = VALID.fullmatch(traceparent.strip(" \t"))
    is_valid = found is not None and not (found[1] == "00" and found[5])
    assert is_valid == theirs.is_valid
    if found and is_valid:
        assert span.ids["trace_id"] == found[2]
        assert span.sampled == bool(int(found[4], 16) & 1)
        assert span.context.trace_state == theirs.trace_state
    else:
        assert span.ids["trace_id"] not in traceparent
        assert span.sampled
    assert re.fullmatch(rb"traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]\r\n", span.header)


def test_a_head_with_a_span_of_its_own_is_not_remembered() -> None:
    known = KnownHeads()
    assert TARGET is not None
    for traceparent, is_known in ((b"", True), (b"traceparent: 00-1-1-00\r\n", False)):
        data = b"POST /v1/models/m:predict HTTP/1.1\r\ncontent-length: 2\r\n" + traceparent + b"\r\n"
        headers = [(name, value) for name, _, value in (line.partition(b": ") for line in data.split(b"\r\n")[1:-2])]
        known.add(data, KnownHead(TARGET, read_head(headers), keeps_alive=True))
        assert (known.get(data) is not None) == is_known


def test_a_batch_links_to_all_of_its_requests_however_many_and_when_it_ran() -> None:
    now_ns, now = time.time_ns(), time.perf_counter()
    with Collector() as collector:
        tracing = Tracing(collector.url, "0.1.0", structlog.get_logger())
        spans = [tracing.request(now - 90, "route", "/path", None, None) for _ in range(1000)]
        tracing.batch(spans, now - 60, now - 20, "m", None, {})
        spans[0].end(80.0, 200, None, {})
        tracing.close()
    batch, request = sorted(collector.spans, key=lambda span: span.kind)
    ids = {tuple(span.ids.values()) for span in spans}
    assert (len(ids), batch.links) == (1000, ids)
    for span, started, seconds in ((batch, -60, 40), (request, -90, 80)):
        assert (span.start_ns - now_ns) / 1e9 == pytest.approx(started, abs=5)
        assert span.end_ns - span.start_ns == seconds * 10**9
