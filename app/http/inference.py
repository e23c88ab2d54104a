"""An inference request as a straight line, the same for both doors.

    admit (headers) -> feed (body) -> finish: unpack, decode, submit -> servable -> encode -> respond

A door makes a `Call` once it has the headers and learns through `answered` that `call.response` is there. That
happens exactly once whatever goes wrong, also from within `admit`, `feed` and `finish`. Nothing here raises.
"""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

from app.errors import (
    INTERNAL,
    BodyTooLarge,
    Cancelled,
    DeadlineExceeded,
    Draining,
    LabelNotFound,
    Malformed,
    ModelNotFound,
    QueueFull,
    rule_for,
)
from app.http.body import LEAST_PACKED_BYTES, pack, too_large, unpack
from app.http.head import Head
from app.http.inference_routes import Target
from app.http.observing import Answered, begin_span, end_span, write_log
from app.http.response import OK, Response, error_response
from app.lifespan import Service
from app.protocols.codec import SHORT_BYTES, Decoded, Encoded
from app.serving.request import NORMAL_PRIORITY, Outcome, Request
from app.serving.servable import Servable

T = TypeVar("T")

_OK_HEAD = b"%b%bserver-timing: queue;dur=%.3f, compute;dur=%.3f\r\nx-request-id: %b\r\ncontent-length: %d\r\n"


class Call:
    """One inference request from its headers to its response. Lives on the event loop's thread."""

    __slots__ = (
        "_answered",
        "_apart",
        "_chunks",
        "_codec",
        "_deadline",
        "_form",
        "_head",
        "_held_bytes",
        "_request",
        "_service",
        "_size_bytes",
        "_span",
        "_started",
        "_tally",
        "_target",
        "request_id",
        "response",
        "servable",
    )

    def __init__(self, service: Service, target: Target, head: Head, answered: Callable[["Call"], None]) -> None:
        self._started = time.perf_counter()
        self._service = service
        self._target = target
        self._head = head
        self._answered = answered
        self._chunks: list[bytes] = []
        self._size_bytes = 0
        self._held_bytes = 0
        self._request: Request | None = None
        self._apart: asyncio.Future[Any] | None = None
        self.servable: Servable | None = None
        self._tally = service.metrics.unserved
        self.response: Response | None = None
        self.request_id = service.request_id(head.request_id)
        self._span = None if (tracing := service.tracing) is None else begin_span(tracing, self._started, target, head)
        service.call_opened()

    def admit(self) -> bool:
        """Judge what the headers tell. False when the call is answered already and its body need not be read."""
        service, head = self._service, self._head
        try:
            if head.fault is not None:
                raise head.fault
            servable, self._codec = self._target.resolve(service)
            self.servable = servable
            self._tally = servable.tally
            if head.length_bytes is not None and head.length_bytes > service.max_body_bytes:
                raise too_large(service.max_body_bytes)
            allowed = servable.limits.deadline_seconds
            if head.timeout_seconds is not None and head.timeout_seconds < allowed:
                allowed = head.timeout_seconds
            self._deadline = self._started + allowed
            if service.draining:
                raise Draining("the server is stopping: send the request to another one")
            servable.refuse_early()
        except (ModelNotFound, LabelNotFound) as error:
            return self._wants_form(error)
        except Exception as error:  # noqa: BLE001  every error becomes an answer
            self._refuse(error)
            return False
        return True

    def _wants_form(self, unknown: ModelNotFound | LabelNotFound) -> bool:
        """Whether the body is read for all that, because its protocol tells a broken one first. Else it is answered.

        Only a short body, plain and of a known length, is worth the wait; `submit` looks at its form.
        """
        head, service = self._head, self._service
        most = min(SHORT_BYTES, service.max_body_bytes)
        is_short = head.window is None and head.length_bytes is not None and head.length_bytes <= most
        if not is_short or service.draining or self._target.route.check_form is None:
            self._refuse(unknown)
            return False
        self._deadline = self._started + min(service.settings.deadline_ms / 1000, head.timeout_seconds or math.inf)
        return True

    def feed(self, chunk: bytes) -> bool:
        """Take a piece of the body. False when the call is answered and wants no more."""
        if self.response is not None:
            return False
        self._size_bytes += len(chunk)
        try:
            if self._size_bytes > self._service.max_body_bytes:
                raise too_large(self._service.max_body_bytes)
            if self._size_bytes > SHORT_BYTES:
                self._hold(self._size_bytes)
        except (BodyTooLarge, QueueFull) as error:
            self._chunks.clear()
            self._refuse(error)
            return False
        self._chunks.append(chunk)
        return True

    def _hold(self, size_bytes: int) -> None:
        """Count the body, so long by now, among those that are kept until they are decoded. Raises QueueFull."""
        self._service.hold(size_bytes - self._held_bytes)
        self._held_bytes = size_bytes

    def finish(self) -> None:
        """The body is complete."""
        if self.response is not None:
            return
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        if self._head.window is None:
            self.submit(body)
        else:  # zlib works outside the interpreter's lock
            loop = asyncio.get_running_loop()
            unpacked = loop.run_in_executor(None, unpack, body, self._head.window, self._service.max_body_bytes)
            self._wait_for(unpacked, self._unpacked)

    def remaining_seconds(self) -> float:
        """Time until the deadline; only after `admit` returned True."""
        return self._deadline - time.perf_counter()

    def time_out(self) -> None:
        """The deadline came before the rows could be handed over."""
        if self.response is None and self._request is None:
            what = "did not arrive" if self._apart is None else "could not be read, or its answer be packed,"
            self._refuse(DeadlineExceeded(f"the body {what} in time: allow more (X-Request-Timeout-Ms, deadline_ms)"))

    def break_off(self) -> None:
        """What came instead of the rest of the body is no HTTP."""
        if self.response is None:
            self._refuse(Malformed("the body breaks off into what is no HTTP/1.1: the connection is closed"))

    def cancel(self) -> None:
        """The client went away. The response that is made all the same is for the log and the counters."""
        if self._request is not None and self.servable is not None:
            self.servable.cancel(self._request)
        elif self.response is None:
            if self.servable is not None:
                self.servable.tally.cancelled += 1
            self._refuse(Cancelled("the client closed the connection before its request was complete"))

    def _wait_for(self, work: "asyncio.Future[T]", then: "Callable[[asyncio.Future[T]], None]") -> None:
        """Go on when a thread is done, but no later than the deadline: `_refuse` gives up work that has not begun."""
        timer = asyncio.get_running_loop().call_later(max(0.0, self.remaining_seconds()), self.time_out)
        self._apart = work
        work.add_done_callback(lambda _: timer.cancel())
        work.add_done_callback(then)

    def _unpacked(self, future: "asyncio.Future[bytes]") -> None:
        if self.response is not None or future.cancelled():
            return
        if (error := future.exception()) is not None:
            self._refuse(error)
            return
        body = future.result()
        try:
            if len(body) > SHORT_BYTES:
                self._hold(len(body))
        except QueueFull as full:
            self._refuse(full)
        else:
            self.submit(body)

    def submit(self, body: bytes) -> None:
        """Decode the whole plain body and hand the rows over: the servable owns and settles the request from here."""
        try:
            servable = self.servable
            if servable is None or servable.draining:
                self._resolve_again(servable, body)
            json_bytes = self._head.json_bytes
            decoded = self._codec.decode_quickly(body, json_bytes)
            if decoded is not None:
                self._hand_over(decoded)
            elif self._codec.is_long(body):
                self._wait_for(self._service.decode_apart(self._codec, body, json_bytes), self._decoded)
            else:
                self._hand_over(self._codec.decode_exactly(body, json_bytes))
        except Exception as error:  # noqa: BLE001  every error becomes an answer
            self._refuse(error)

    def _resolve_again(self, replaced: Servable | None, body: bytes) -> None:
        """Who answers now: the one before was replaced while the body came in, or there was none at the headers."""
        if replaced is None and (check_form := self._target.route.check_form) is not None:
            check_form(body)
        self.servable, self._codec = self._target.resolve(self._service)
        self._tally = self.servable.tally

    def _decoded(self, future: "asyncio.Future[Decoded]") -> None:
        if self.response is not None or future.cancelled():
            return
        try:
            assert self.servable is not None
            successor, codec = self._target.resolve(self._service)
            if self.servable.draining and codec is self._codec:  # replaced meanwhile by one that reads alike
                self.servable, self._tally = successor, successor.tally
            self._hand_over(future.result())
        except Exception as error:  # noqa: BLE001  every error becomes an answer
            self._refuse(error)

    def _hand_over(self, decoded: Decoded) -> None:
        assert self.servable is not None
        if self._held_bytes:
            self._hold(0)
        self._form = decoded.form
        now = time.perf_counter()
        rows = decoded.rows if self.servable.batched else 1
        deadline = self._deadline
        if decoded.timeout_seconds is not None:
            deadline = min(deadline, self._started + decoded.timeout_seconds)
        request = Request(decoded.inputs, rows, decoded.group, now, deadline, self._settled, self._span)
        if decoded.priority != NORMAL_PRIORITY:
            request.prioritise(decoded.priority)
        self.servable.submit(request)
        self._request = request

    def _settled(self, request: Request, outcome: Outcome) -> None:
        self._request = None
        if isinstance(outcome, Exception):
            self._refuse(outcome)
            return
        try:
            assert self.servable is not None
            encoded = self._codec.encode(outcome, self._form, self.servable.identity)
        except Exception as error:  # noqa: BLE001  every error becomes an answer
            self._refuse(error)
            return
        if self._head.encoding is None:
            self._answer(request, encoded)
        else:
            self._pack(request, encoded, self._head.encoding)

    def _pack(self, request: Request, encoded: Encoded, encoding: bytes) -> None:
        lines, body = encoded
        if len(body) < LEAST_PACKED_BYTES or not self._target.route.packs:
            self._answer(request, encoded)
            return
        packed = asyncio.get_running_loop().run_in_executor(None, pack, body, encoding)
        self._wait_for(packed, lambda future: self._packed(request, lines, encoding, future))

    def _packed(self, request: Request, lines: bytes, encoding: bytes, future: "asyncio.Future[bytes]") -> None:
        if self.response is not None or future.cancelled():
            return
        self._answer(request, (b"%bcontent-encoding: %b\r\n" % (lines, encoding), future.result()))

    def _answer(self, request: Request, encoded: Encoded) -> None:
        assert self.servable is not None
        lines, body = encoded
        head = _OK_HEAD % (
            lines,
            self.servable.head,
            request.queue_seconds * 1000,
            request.compute_seconds * 1000,
            self.request_id,
            len(body),
        )
        tally = self._tally
        tally.rows += request.rows
        tally.input_seconds += request.arrived - self._started
        tally.queue.observe(request.queue_seconds)
        tally.compute.observe(request.compute_seconds)
        self._respond(Response(OK, head, body), request)

    def _refuse(self, error: BaseException) -> None:
        if self._held_bytes:
            self._hold(0)
        if self._apart is not None:
            self._apart.cancel()
        rule = rule_for(error)
        if rule is INTERNAL:
            self._service.log.error("request failed", request_id=self.request_id.decode(), exc_info=error)
        self._service.metrics.rejected[rule.code] += 1
        self._respond(error_response(error, self.request_id, close=isinstance(error, Draining)), error=error)
        self._tally.fold_if_long()

    def _respond(self, response: Response, request: Request | None = None, error: BaseException | None = None) -> None:
        self._service.call_answered()
        tally = self._tally
        tally.answered_at = now = time.perf_counter()
        seconds = now - self._started
        tally.requests[response.status] += 1
        tally.duration.observe(seconds)
        if response.status != OK:
            tally.failed_seconds += seconds
        if self._service.observes_requests:
            response = self._observe(response, seconds, request, error)
        self.response = response
        self._answered(self)

    def _observe(
        self, response: Response, seconds: float, request: Request | None, error: BaseException | None
    ) -> Response:
        """Tell those who want to read of single requests. Gives the answer, which names its span if it has one."""
        answered = Answered(
            self._target,
            self.servable.identity if self.servable is not None else None,
            self._tally,
            self.request_id.decode(),
            self._started,
            seconds,
            response.status,
            request,
            error,
        )
        if self._service.logs_requests:
            write_log(self._service, answered)
        if (span := self._span) is None:
            return response
        if span.sampled:
            end_span(span, answered)
        return response._replace(head=response.head + span.header)
