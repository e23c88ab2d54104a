"""HTTP as bytes on a socket: what a test sends is what the server gets."""

import json
import re
import socket
from collections.abc import Iterable
from types import TracebackType
from typing import Any, NamedTuple, Self

# Nothing here takes so long; a busy machine gets its time.
PATIENCE_SECONDS = 20.0

PREDICT = "/v1/models/double:predict"

_VARYING = re.compile(rb"^(date|x-request-id|server-timing|traceparent): [^\r]*\r$", re.MULTILINE)


def request(
    body: object = b"",
    path: str = PREDICT,
    *headers: str,
    method: str = "POST",
    version: str = "1.1",
    length: int | None = None,
) -> bytes:
    """A whole request; `body` is sent as JSON unless it is bytes. A negative `length` leaves Content-Length away."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    size = len(content) if length is None else length
    lines = [f"{method} {path} HTTP/{version}", "host: test", *headers]
    if size >= 0 and method == "POST":
        lines.append(f"content-length: {size}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


def chunked(pieces: Iterable[bytes], path: str = PREDICT, *headers: str) -> bytes:
    """A request whose body comes in these chunks."""
    head = request(b"", path, "transfer-encoding: chunked", *headers, length=-1)
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def masked(transcript: bytes) -> bytes:
    """What a server sent, without what differs from answer to answer: date, ids, timing."""
    return _VARYING.sub(rb"\1: *\r", transcript)


class Answer(NamedTuple):
    """One response; `head` as it came, names in lower case in `headers`."""

    status: int
    headers: dict[str, str]
    body: bytes
    head: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The text of the one shape that every error has."""
        document = self.json()
        assert list(document) == ["error"], document
        assert self.headers["content-type"] == "application/json"
        return str(document["error"])


class Wire:
    """One connection. Every wait ends after PATIENCE_SECONDS with an error."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.socket.close()

    def send(self, *pieces: bytes) -> Self:
        for piece in pieces:
            self.socket.sendall(piece)
        return self

    def answer(self, method: str = "POST") -> Answer:
        """The next response, an interim one (1xx) included. Asserts that there is one."""
        while (end := self._unread.find(b"\r\n\r\n")) < 0:
            assert self._receive(), f"closed before a whole answer came: {bytes(self._unread)!r}"
        head = bytes(self._take(end + 4))
        first, *lines = head.decode("latin-1").rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        status = int(first.split(" ")[1])
        empty = method == "HEAD" or status < 200
        return Answer(status, headers, b"" if empty else self._body(headers), head)

    def ask(self, data: bytes) -> Answer:
        """Send one request and read its answer."""
        return self.send(data).answer()

    def rest(self) -> bytes:
        """Everything until the server closes; a reset counts as closed."""
        while self._receive():
            pass
        return bytes(self._take(len(self._unread)))

    def vanish(self) -> None:
        """Go away as a killed client does: with a reset, without reading what came."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while piece := self._chunk():
                body += piece
            return body
        return bytes(self._exactly(int(headers["content-length"])))

    def _chunk(self) -> bytes:
        while (end := self._unread.find(b"\r\n")) < 0:
            assert self._receive(), "closed amid a chunk"
        size = int(self._take(end + 2), 16)
        return bytes(self._exactly(size + 2)[:-2])

    def _exactly(self, size: int) -> bytearray:
        while len(self._unread) < size:
            assert self._receive(), f"closed {size - len(self._unread)} bytes before the end of an answer"
        return self._take(size)

    def _take(self, size: int) -> bytearray:
        taken, self._unread = self._unread[:size], self._unread[size:]
        return taken

    def _receive(self) -> bool:
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            return False
        self._unread += data
        return bool(data)
