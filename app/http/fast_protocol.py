"""The fast door: answers inference requests inside uvicorn's HTTP protocol, without scope, task or future.

Everything else goes to ASGI unchanged. Answers leave in the order of their requests, whichever door made them:

    parser -> Call -> _line (waits for its turn) -> transport
           -> ASGI cycle, held back while _line is not empty

It leans on uvicorn's httptools protocol from the inside; `fits` says whether the installed one is the one it knows.
"""

import asyncio
import re
from collections import deque
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from app.errors import HeadTooLarge, Malformed, OctetError
from app.http.asgi import Entry
from app.http.head import KnownHead, read_head
from app.http.inference import Call
from app.http.inference_routes import Target
from app.http.response import Response, error_response

_UVICORN = "0.54."
# What uvicorn's protocol must offer for this one to stand on it.
_NEEDED = (
    *("on_message_begin", "on_headers_complete", "on_body", "on_message_complete"),
    *("_start_asgi_task", "on_response_complete", "send_400_response", "_unset_keepalive_if_required", "shutdown"),
)
# Requests of one connection that are taken up before the first is answered; what comes beyond waits in the socket.
_MOST_PIPELINED = 16
# An offer to change the protocol may be ignored (RFC 9110, 7.8). The parser does not: it drops the request's body.
# Java's HttpClient offers HTTP/2 with every first request.
_UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*", re.IGNORECASE)
# A head is read into memory before anybody can judge it.
_MOST_HEAD_BYTES = 65_536
# An answer that closes the connection is readable for this long while the client still sends its body.
_LINGER_SECONDS = 2.0


def fits() -> bool:
    """Whether the installed uvicorn is one whose internals are known here; else the ASGI door serves everything."""
    return uvicorn.__version__.startswith(_UVICORN) and all(hasattr(HttpToolsProtocol, name) for name in _NEEDED)


class FastProtocol(HttpToolsProtocol):
    """One connection. The base class's state describes ASGI requests, the state here inference requests."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        entry = self.app
        assert isinstance(entry, Entry)
        self._service = entry.service
        self._targets = entry.targets
        self._line: deque[tuple[Call, bool]] = deque()
        """Calls whose answer is not sent yet, in order, each with whether the connection may go on after it."""
        self._known_heads = entry.known_heads
        self._head_bytes: bytes | None = None
        """The head that the data at hand starts with, while the parser has not gone beyond it."""
        self._is_between_messages = True
        self._open: Call | None = None
        """The call whose body is being read."""
        self._held: tuple[RequestResponseCycle, Any] | None = None
        """An ASGI request that came while calls were in line."""
        self._asgi_running: RequestResponseCycle | None = None
        """The ASGI request that was started last; `cycle` is the one that came last."""
        self._body_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        self._is_stopping = False
        self._broken_by: OctetError | None = None
        """Why nothing more is read from this connection; told after the answers that are due."""
        self._is_in_head = False
        self._head_size_bytes = 0
        self._lingers = False
        """Whether the last answer is sent and only the rest of its request is still read."""
        self._default_headers: list[tuple[bytes, bytes]] | None = None
        self._rendered_default_headers = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._look_whether_idle)

    # --- the parser's callbacks, in their order

    def on_message_begin(self) -> None:
        self._is_between_messages = False
        self._is_in_head = True
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._open = None

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_in_head:  # else it is a trailer, which nobody here reads
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._head_size_bytes = 0
        if self._broken_by is not None:
            return
        if self.parser.should_upgrade():  # what follows would be read in another way than its sender means it
            self._break_off(Malformed("no other protocol is spoken here: send the request without Upgrade"))
            return
        if self._takes_call() and (target := self._targets.match(self.url)) is not None:
            self._begin(target)
            return
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()  # makes the scope, which inference does without
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._broken_by is not None:
            return
        if self._open is None:
            super().on_body(body)
        else:
            self._open.feed(body)  # an answered one drops it, so that its client can read why

    def on_message_complete(self) -> None:
        if self._broken_by is not None:
            return
        self._is_between_messages = True
        self._head_bytes = None
        call = self._open
        if call is None:
            super().on_message_complete()
            return
        self._open = None
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None
        call.finish()
        if self._lingers:
            self.transport.close()

    # --- calls

    def _takes_call(self) -> bool:
        """Whether the request at hand may be a call: all the rarer things HTTP can ask for go to ASGI."""
        parser = self.parser
        return (
            parser.get_method() == b"POST"
            and self._asgi_is_idle()
            and not self.expect_100_continue
            and parser.get_http_version() == "1.1"
        )

    def _asgi_is_idle(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _begin(self, target: Target) -> None:
        head = read_head(self.headers)
        keeps_alive = self.parser.should_keep_alive()
        if self._head_bytes is not None:
            self._known_heads.add(self._head_bytes, KnownHead(target, head, keeps_alive))
        call = Call(self._service, target, head, self._answered)
        self._line.append((call, keeps_alive))
        if len(self._line) >= _MOST_PIPELINED:
            self.flow.pause_reading()
        self._open = call
        call.admit()

    def data_received(self, data: bytes) -> None:
        if self._is_between_messages and not self._line and self._asgi_is_idle():
            end = data.find(b"\r\n\r\n") + 4
            head_bytes = data[:end]
            known = self._known_heads.get(head_bytes)
            if known is not None and known.head.length_bytes == len(data) - end:
                self._unset_keepalive_if_required()
                call = Call(self._service, known.target, known.head, self._answered)
                self._line.append((call, known.keeps_alive))
                if call.admit():
                    call.submit(data[end:])
                return
            self._head_bytes = head_bytes
            if _UPGRADE.search(head_bytes):
                data = _UPGRADE.sub(b"", head_bytes) + data[end:]
        if self._broken_by is not None:
            return
        if not self._is_in_head:  # a head has one keep-alive time, however it dribbles in
            self._idle_since = self.loop.time()
        super().data_received(data)
        self._head_bytes = None
        if self._is_in_head:
            self._head_size_bytes += len(data)
            if self._head_size_bytes > _MOST_HEAD_BYTES:
                self._break_off(HeadTooLarge(f"the head of the request is over {_MOST_HEAD_BYTES} bytes"))
        unread = self._open
        if unread is not None and self._body_timer is None and unread.response is None:  # a body in several pieces
            self._body_timer = self.loop.call_later(unread.remaining_seconds(), unread.time_out)

    def _answered(self, call: Call) -> None:
        """Send what is at the head of the line. A response that is ready before its turn waits."""
        line = self._line
        if not line or line[0][0] is not call:
            return
        while line and (response := line[0][0].response) is not None:
            call, keeps_alive = line.popleft()
            closes = response.close or not keeps_alive or (self._is_stopping and not line)
            self._write(response, closes=closes)
            self.server_state.total_requests += 1
            if closes:
                self._close_after(call)
                return
        if not line:
            self._line_is_empty()
        flow = self.flow
        if flow.write_paused:  # the client does not read its answers: take no more of its requests
            flow.pause_reading()
        elif flow.read_paused and len(line) < _MOST_PIPELINED:
            flow.resume_reading()

    def _write(self, response: Response, *, closes: bool) -> None:
        connection = b"connection: close\r\n\r\n" if closes else b"\r\n"
        self.transport.write(
            b"".join((STATUS_LINE[response.status], self._default_head(), response.head, connection, response.body))
        )

    def _line_is_empty(self) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            self._start_asgi_task(*held)
        elif self._broken_by is not None:
            self._send_broken(self._broken_by)
        else:
            self._idle_since = self.loop.time()

    def _default_head(self) -> bytes:
        """Date and the like, rendered once for each time that uvicorn makes a new list of them."""
        headers = self.server_state.default_headers
        if headers is not self._default_headers:
            self._default_headers = headers
            self._rendered_default_headers = b"".join(b"%b: %b\r\n" % header for header in headers)
        return self._rendered_default_headers

    # --- the connection's life

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self._line:
            self._held = (cycle, app)
            self.flow.pause_reading()
        else:
            self._asgi_running = cycle
            super()._start_asgi_task(cycle, app)

    def _close_after(self, call: Call) -> None:
        """Close, but let a client that still sends its body read the answer first."""
        if call is self._open:
            self._lingers = True
            self.loop.call_later(_LINGER_SECONDS, self.transport.close)
        else:
            self.transport.close()

    def _look_whether_idle(self) -> None:
        """One timer a connection, armed anew for what is left, instead of two timer calls a request.

        A client that owes a whole head, or the body of a request that is answered, is idle too.
        """
        is_busy = self._line or not self._asgi_is_idle()
        left = self.timeout_keep_alive if is_busy else self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._idle_timer = self.loop.call_later(left, self._look_whether_idle)
        elif self.flow.write_paused:
            self.transport.abort()
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """What the parser says of bytes that are no HTTP."""
        self._break_off(Malformed("this is not an HTTP/1.1 request: the connection is closed"))

    def _break_off(self, error: OctetError) -> None:
        """Read no further; say why after the answers that are still due, and close."""
        if self._broken_by is not None:
            return
        self._broken_by = error
        self._is_between_messages = False
        self.flow.pause_reading()
        call, self._open = self._open, None
        if call is not None and self._line and self._line[-1][0] is call:
            self._line[-1] = (call, False)
            call.break_off()  # its own answer says so
        elif (self._asgi_is_idle() or self._asgi_breaks_off()) and not self._line:
            self._send_broken(error)

    def _asgi_breaks_off(self) -> bool:
        """Give up the last ASGI request if it is its body that broke off; whether none is left to be answered."""
        cycle = self.cycle
        if not cycle.more_body:
            return False
        cycle.disconnected = True
        cycle.message_event.set()
        if self.pipeline:
            self.pipeline.popleft()
            return False
        self._held = None
        return True

    def _send_broken(self, error: OctetError) -> None:
        response = error_response(error, self._service.request_id())
        self._write(response, closes=True)
        self.transport.close()

    def resume_writing(self) -> None:
        super().resume_writing()
        if len(self._line) < _MOST_PIPELINED and self._held is None:
            self.flow.resume_reading()

    def on_response_complete(self) -> None:
        """ASGI has answered; uvicorn starts the next of the requests that wait in its own line."""
        self._idle_since = self.loop.time()
        was_last = not self.pipeline
        super().on_response_complete()
        if self._broken_by is not None and was_last:
            self._send_broken(self._broken_by)

    def shutdown(self) -> None:
        """Finish the line, then close."""
        if self._line:
            self._is_stopping = True
        else:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        line, self._line = self._line, deque()
        for timer in (self._body_timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        for call, _ in line:
            call.cancel()
        if self._asgi_running is not None:  # uvicorn tells only the one that came last
            self._asgi_running.disconnected = True
            self._asgi_running.message_event.set()
        super().connection_lost(exc)
