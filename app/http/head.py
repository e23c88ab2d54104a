"""What the headers of an inference request say, and the memory of those seen before."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app.errors import Malformed, OctetError, UnsupportedEncoding
from app.http.body import encoding_for, window_for
from app.http.inference_routes import Target

_DIGITS = re.compile(rb"\d{1,18}")
_NUMBER = re.compile(rb"\d{1,12}(\.\d{1,12})?")


class Head(NamedTuple):
    """The headers that inference reads."""

    request_id: bytes | None
    """The client's own id, None where it sent none."""
    length_bytes: int | None = None
    """Content-Length; None for a chunked body."""
    window: int | None = None
    """How to unpack the body, see `body.unpack`; None where it comes as it is."""
    timeout_seconds: float | None = None
    """Time the client allows, None where it does not say."""
    json_bytes: int | None = None
    """How much of the body is JSON (Inference-Header-Content-Length), None where it does not say."""
    encoding: bytes | None = None
    """How to pack the answer, see `body.pack`; None to send it as it is."""
    fault: OctetError | None = None
    """Why the request cannot be taken up: UnsupportedEncoding or Malformed."""
    traceparent: bytes | None = None
    """The client's span as it came, None where it sent none."""
    tracestate: bytes | None = None


def fields_of(headers: Sequence[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """Values by name; those of a name that comes several times are one list (RFC 9110, 5.3)."""
    fields = dict(headers)
    if len(fields) == len(headers):
        return fields
    values: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for name, value in headers:
        values[name].append(value)
    return {name: b", ".join(all_of_it) for name, all_of_it in values.items()}


def read_head(headers: Sequence[tuple[bytes, bytes]]) -> Head:
    """Read headers whose names are in lower case and whose framing the HTTP parser has checked.

    The parser leaves the blanks at the end of a value, which are no part of it.
    """
    fields = fields_of(headers)
    request_id = fields.get(b"x-request-id")
    length = fields.get(b"content-length")
    timeout = fields.get(b"x-request-timeout-ms")
    json_length = fields.get(b"inference-header-content-length")
    accepted = fields.get(b"accept-encoding")
    traceparent, tracestate = fields.get(b"traceparent"), fields.get(b"tracestate")
    try:
        window = window_for(fields.get(b"content-encoding", b""))
        if fields.get(b"transfer-encoding", b"chunked").strip().lower() != b"chunked":
            raise UnsupportedEncoding("the only Transfer-Encoding spoken here is chunked: compress by Content-Encoding")
        seconds = None if timeout is None else _seconds(timeout.strip())
        json_bytes = None if json_length is None else _bytes(json_length.strip())
    except OctetError as fault:
        return Head(request_id, fault=fault, traceparent=traceparent, tracestate=tracestate)
    encoding = encoding_for(accepted) if accepted else None
    length_bytes = None if length is None else int(length)
    return Head(request_id, length_bytes, window, seconds, json_bytes, encoding, None, traceparent, tracestate)


def _bytes(length: bytes) -> int:
    if not _DIGITS.fullmatch(length):
        raise Malformed(
            f"Inference-Header-Content-Length is '{length.decode('latin-1')}', expected the length in bytes "
            "of the JSON that the body starts with"
        )
    return int(length)


def _seconds(milliseconds: bytes) -> float:
    seconds = float(milliseconds) / 1000 if _NUMBER.fullmatch(milliseconds) else 0.0
    if not seconds > 0:
        raise Malformed(
            f"X-Request-Timeout-Ms is '{milliseconds.decode('latin-1')}', expected a number of milliseconds above 0"
        )
    return seconds


class KnownHead(NamedTuple):
    """A request's whole head, parsed."""

    target: Target
    head: Head
    keeps_alive: bool


# Heads come from clients, so the memory of them is bounded; a server's clients use few.
_MOST_HEADS = 1024
_LONGEST_HEAD_BYTES = 2048


class KnownHeads:
    """Heads that the HTTP parser has accepted, by their bytes: the same bytes mean the same request.

    A client sends all but the same head with every request of a connection, and looking it up costs a tenth of
    parsing it. Kept are only heads of a plain body with a Content-Length and without an id or a span of its own.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, KnownHead] = {}
        self.get = self._known.get

    def add(self, head_bytes: bytes, known: KnownHead) -> None:
        """Remember a head, given from its method to its empty line."""
        head = known.head
        if head.length_bytes is None or head.window is not None:
            return
        if head.request_id is not None or head.traceparent is not None:  # it will not come again
            return
        if len(head_bytes) > _LONGEST_HEAD_BYTES or not head_bytes.startswith(b"POST "):
            return
        if head_bytes.count(b"\n") != head_bytes.count(b"\r\n"):  # the parser may have seen its end elsewhere
            return
        if len(self._known) >= _MOST_HEADS:
            self._known.clear()
        self._known[head_bytes] = known
