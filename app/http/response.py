"""What both doors send: an answer as bytes, and the one shape of every error."""

from typing import NamedTuple

import orjson

from app.errors import rule_for, text_for
from app.protocols.codec import JSON

OK = 200


class Response(NamedTuple):
    """An answer. `head` holds rendered header lines, without status line, date and connection."""

    status: int
    head: bytes
    body: bytes
    close: bool = False


def error_response(error: BaseException, request_id: bytes, *, close: bool = False) -> Response:
    """The one shape of every error: `{"error": "..."}` as JSON, Retry-After where trying again can help."""
    rule = rule_for(error)
    body = orjson.dumps({"error": text_for(error)})
    retry = b"" if rule.retry_after_seconds is None else b"retry-after: %d\r\n" % rule.retry_after_seconds
    head = JSON + retry + b"x-request-id: %b\r\ncontent-length: %d\r\n" % (request_id, len(body))
    return Response(rule.status, head, body, close)
