"""CORS: with the setting `cors`, scripts on web pages of any origin may call the server and read its answers.

As TensorFlow Serving's --rest_api_enable_cors_support, with the headers that the V2 protocol needs beside it.
"""

from collections.abc import Iterable

from app.errors import Malformed
from app.http.response import OK, Response, error_response

ANSWER_HEADERS = (("access-control-allow-origin", "*"), ("access-control-expose-headers", "*"))
"""They stand on every answer of both doors."""

_PREFLIGHT_HEAD = (
    b"access-control-allow-methods: POST, GET\r\n"
    b"access-control-allow-headers: Content-Type, Content-Encoding, Inference-Header-Content-Length, "
    b"X-Request-Id, X-Request-Timeout-Ms, Traceparent, Tracestate\r\n"
    b"x-request-id: %b\r\n"
    b"content-length: 0\r\n"
)


def preflight(headers: Iterable[tuple[bytes, bytes]], request_id: bytes) -> Response:
    """The answer to the OPTIONS that a browser sends before a script's request, on whatever path."""
    if not any(name == b"origin" for name, _ in headers):
        return error_response(Malformed("OPTIONS is for browsers (CORS), and they send an Origin header"), request_id)
    return Response(OK, _PREFLIGHT_HEAD % request_id, b"")
