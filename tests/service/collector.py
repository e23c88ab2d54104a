"""A real receiver of OTLP over HTTP, which keeps what was sent to it."""

import gzip
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

SERVER, INTERNAL = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_INTERNAL
UNSET, ERROR = Status.STATUS_CODE_UNSET, Status.STATUS_CODE_ERROR


class Seen(NamedTuple):
    """A span as it came, ids in hexadecimal."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    trace_state: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any]
    links: frozenset[tuple[str, str]]
    status: int
    resource: Mapping[str, Any]

    @property
    def ids(self) -> tuple[str, str]:
        return self.trace_id, self.span_id

    @property
    def header(self) -> str:
        """What the client got of it, without the flags."""
        return f"00-{self.trace_id}-{self.span_id}"


class Collector:
    """Listens on a free port of loopback from the `with` on; answers everything with `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.posted: list[tuple[str, dict[str, str]]] = []
        """Path and headers of each request."""
        self.spans: list[Seen] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def of_kind(self, kind: int) -> list[Seen]:
        return [span for span in self.spans if span.kind == kind]

    @property
    def requests(self) -> list[Seen]:
        return self.of_kind(SERVER)

    @property
    def batches(self) -> list[Seen]:
        return self.of_kind(INTERNAL)

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        self.posted.append((path, headers))
        if self.status == 200:
            content = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
            self.spans.extend(read(content))
        return self.status

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers["content-length"]))
                self.send_response(collector.take(self.path, headers, body))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def read(body: bytes) -> list[Seen]:
    """The spans of one export. Nothing that OTLP bounds was dropped."""
    seen = []
    for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = attributes(of_resource.resource.attributes)
        for span in (span for scope in of_resource.scope_spans for span in scope.spans):
            assert not span.dropped_attributes_count + span.dropped_links_count + span.dropped_events_count
            links = frozenset((link.trace_id.hex(), link.span_id.hex()) for link in span.links)
            assert len(links) == len(span.links)
            ids = (one.hex() for one in (span.trace_id, span.span_id, span.parent_span_id))
            times = span.start_time_unix_nano, span.end_time_unix_nano
            own = attributes(span.attributes)
            seen.append(
                Seen(span.name, span.kind, *ids, span.trace_state, *times, own, links, span.status.code, resource)
            )
    return seen


def attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: value_of(pair) for pair in pairs}


def value_of(pair: KeyValue) -> Any:
    kind = pair.value.WhichOneof("value")
    assert kind in ("string_value", "int_value", "double_value"), pair
    return getattr(pair.value, kind)
