"""OpenTelemetry's traces, the extra `otel`: a span for each inference request, one for each batch, sent by OTLP.

Imported only where the setting `otlp_endpoint` is there. Source of names, attributes and status:
https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server-span; of the headers: W3C Trace Context.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, Tracer, format_span_id, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.typing import FilteringBoundLogger

from app.errors import rule_for

Attributes = Mapping[str, str | int | float]

# How long stopping waits for spans to be sent: a collector that is away must not keep anybody up.
_FLUSH_SECONDS = 2.0
_PROPAGATOR = TraceContextTextMapPropagator()


class RequestSpan:
    """The span of one inference request, from its headers to its answer."""

    def __init__(self, span: Span, began_ns: int) -> None:
        self.context: SpanContext = span.get_span_context()
        self.sampled = self.context.trace_flags.sampled
        """Whether it will be sent. Else nothing need be said of it."""
        self._span = span
        self._began_ns = began_ns

    @property
    def ids(self) -> dict[str, str]:
        """What names it in an exemplar."""
        return {"trace_id": format_trace_id(self.context.trace_id), "span_id": format_span_id(self.context.span_id)}

    @property
    def header(self) -> bytes:
        """The header line that tells the client about it, `traceparent`; none where OTEL_SDK_DISABLED is set."""
        context = self.context
        if not context.is_valid:
            return b""
        return b"traceparent: 00-%032x-%016x-%02x\r\n" % (context.trace_id, context.span_id, context.trace_flags)

    def ran_in(self, batch: SpanContext) -> None:
        """Link to the batch, so that one finds from either to the other. What is answered already stays as it is."""
        if self._span.is_recording():
            self._span.add_link(batch)

    def end(self, seconds: float, status: int, error: BaseException | None, attributes: Attributes) -> None:
        """Answered with this HTTP status, so long after the headers."""
        self._span.set_attributes({"http.response.status_code": status, **attributes})
        _tell(self._span, error)
        self._span.end(self._began_ns + round(seconds * 1e9))


class Tracing:
    """The spans of one service. Lives on the event loop's thread; a thread of its own sends what has ended."""

    def __init__(self, endpoint: str, version: str, log: FilteringBoundLogger) -> None:
        """What the variables OTEL_* say of sampler, resource, queue and exporter holds."""
        named = OTELResourceDetector().detect().attributes
        self._resource = Resource.create({"service.name": "octet", "service.version": version, **named})
        self._processor = BatchSpanProcessor(_Exporter(f"{endpoint.rstrip('/')}/v1/traces", log))
        self._requests = self._tracer(version, None)
        self._batches = self._tracer(version, ALWAYS_ON)
        for noisy in ("opentelemetry.trace", "opentelemetry.sdk._shared_internal"):
            # A line for each header that a client garbled, and for each span that found the queue full.
            logging.getLogger(noisy).setLevel(logging.ERROR)

    def _tracer(self, version: str, sampler: Sampler | None) -> Tracer:
        limits = SpanLimits(max_links=SpanLimits.UNSET)  # a batch links to all of its requests
        provider = TracerProvider(sampler, self._resource, shutdown_on_exit=False, span_limits=limits)
        provider.add_span_processor(self._processor)
        return provider.get_tracer("octet", version)

    def request(
        self, started: float, route: str, path: str, traceparent: bytes | None, tracestate: bytes | None
    ) -> RequestSpan:
        """A request has its headers since `started`, on perf_counter's clock. Its parent is theirs if it is valid."""
        began_ns = _unix_ns(started)
        span = self._requests.start_span(
            f"POST {route}",
            _context(traceparent, tracestate),
            SpanKind.SERVER,
            {"http.request.method": "POST", "http.route": route, "url.path": path, "url.scheme": "http"},
            start_time=began_ns,
        )
        return RequestSpan(span, began_ns)

    def batch(
        self,
        spans: Sequence[RequestSpan],
        started: float,
        ended: float,
        model: str,
        error: BaseException | None,
        attributes: Attributes,
    ) -> None:
        """A batch ran, with these requests among others that are not sampled; `error` is the first that a run raised.

        It is a trace of its own, since it belongs to several, and sampled because they are.
        """
        began_ns = _unix_ns(started)
        links = [Link(span.context) for span in spans]
        batch = self._batches.start_span(
            f"batch {model}", Context(), SpanKind.INTERNAL, attributes, links, start_time=began_ns
        )
        for span in spans:
            span.ran_in(batch.get_span_context())
        _tell(batch, error)
        batch.end(began_ns + round((ended - started) * 1e9))

    def close(self) -> None:
        """Send what waits, as far as that is soon done; blocks. A thread may be left behind."""
        flushing = threading.Thread(target=self._processor.shutdown, name="octet-flush", daemon=True)
        flushing.start()
        flushing.join(_FLUSH_SECONDS)


def _tell(span: Span, error: BaseException | None) -> None:
    """What went wrong, by its code. What the client did wrong is no failure of the server's span."""
    if error is None:
        return
    rule = rule_for(error)
    span.set_attribute("error.type", rule.code)
    if rule.status >= 500:
        span.set_status(StatusCode.ERROR)


def _context(traceparent: bytes | None, tracestate: bytes | None) -> Context:
    """The client's, empty where it sent none or no valid one."""
    if traceparent is None:
        return Context()
    carrier = {"traceparent": traceparent.decode("latin-1")}
    if tracestate is not None:
        carrier["tracestate"] = tracestate.decode("latin-1")
    return _PROPAGATOR.extract(carrier, Context())


def _unix_ns(moment: float) -> int:
    """A moment of perf_counter's clock on the wall's. Each span asks but once, so that its length is perf_counter's."""
    return time.time_ns() - round((time.perf_counter() - moment) * 1e9)


class _Exporter(SpanExporter):
    """OTLP over HTTP. Says once that spans are not taken, and once that they are again.

    What it would log by itself, every few seconds, is the reason.
    """

    def __init__(self, url: str, log: FilteringBoundLogger) -> None:
        self._url = url
        self._log = log
        self._sender = OTLPSpanExporter(url)
        self._lost = 0
        self._said: list[str] = []
        logging.getLogger(OTLPSpanExporter.__module__).addFilter(self._overhear)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._said.clear()
        result = self._sender.export(spans)
        if result is SpanExportResult.SUCCESS:
            if self._lost:
                self._log.info("spans are taken again", url=self._url, lost=self._lost)
            self._lost = 0
        else:
            if not self._lost:
                self._log.warning("spans are not taken", url=self._url, reason=next(iter(self._said), "unknown"))
            self._lost += len(spans)
        return result

    def shutdown(self) -> None:
        self._sender.shutdown()  # type: ignore[no-untyped-call]
        logging.getLogger(OTLPSpanExporter.__module__).removeFilter(self._overhear)

    def _overhear(self, record: logging.LogRecord) -> bool:
        self._said.append(record.getMessage())
        return False
