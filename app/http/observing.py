"""What is told of single requests to those who want to read of them: lines in the log, the span of a trace."""

import time
from typing import TYPE_CHECKING, NamedTuple

from app.http.head import Head
from app.http.inference_routes import Target
from app.lifespan import Service
from app.metrics import Tally
from app.protocols.triton_trace import timestamps
from app.serving.request import Request
from app.serving.servable import Identity
from app.serving.table import folded

if TYPE_CHECKING:
    from app.tracing import RequestSpan, Tracing


class Answered(NamedTuple):
    """A call that has its answer."""

    target: Target
    identity: Identity | None
    """Of the servable that answered or refused it; None where none was found."""
    tally: Tally
    request_id: str
    started: float
    seconds: float
    """From `started` to the answer."""
    status: int
    request: Request | None
    """None where no rows were answered."""
    error: BaseException | None

    @property
    def model(self) -> str:
        """The name that was asked for; as it is published, once it was found."""
        return self.identity.model if self.identity is not None else self.target.model


def write_log(service: Service, call: Answered) -> None:
    """What is asked for: a line at debug, a trace as Triton has it."""
    identity = call.identity
    log = service.log.bind(
        request_id=call.request_id,
        model=call.target.model,
        version=identity.version if identity else None,
        variant=identity.variant if identity else None,
        status=call.status,
    )
    log.debug("request", milliseconds=round(call.seconds * 1000, 3))
    if identity is not None and service.traces.samples(folded(identity.model)):
        log.info("trace", timestamps=timestamps(call.started, call.seconds, call.request))


def begin_span(tracing: "Tracing", started: float, target: Target, head: Head) -> "RequestSpan":
    """The span of a call whose headers came at `started`."""
    return tracing.request(started, target.template, target.path, head.traceparent, head.tracestate)


def end_span(span: "RequestSpan", call: Answered) -> None:
    """Say of a sampled span what is known of the call, and have the histograms name it."""
    attributes: dict[str, str | int | float] = {"octet.request_id": call.request_id, "octet.model": call.model}
    if call.identity is not None:
        attributes |= {"octet.version": call.identity.version, "octet.variant": call.identity.variant}
    durations = {call.tally.duration: call.seconds}
    if (request := call.request) is not None:
        attributes["octet.rows"] = request.rows
        attributes["octet.queue_seconds"] = request.queue_seconds
        attributes["octet.compute_seconds"] = request.compute_seconds
        durations |= {call.tally.queue: request.queue_seconds, call.tally.compute: request.compute_seconds}
    span.end(call.seconds, call.status, call.error, attributes)
    now = time.time()
    for histogram, seconds in durations.items():
        histogram.exemplify(seconds, span.ids, now)
