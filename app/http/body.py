"""Bodies: requests bounded while they arrive and when they are unpacked, answers packed for clients that ask."""

import zlib
from functools import lru_cache

from app.errors import BodyTooLarge, Malformed, UnsupportedEncoding

ENCODINGS = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}
"""Content-Encoding -> zlib's window; `deflate` is zlib-wrapped, as RFC 9110 says and Triton's clients send it."""


def window_for(encoding: bytes) -> int | None:
    """What `unpack` needs for this Content-Encoding; None for nothing to unpack. Raises UnsupportedEncoding."""
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return None
    window = ENCODINGS.get(name)
    if window is None:
        raise UnsupportedEncoding(
            f"Content-Encoding '{encoding.decode('latin-1')}' is not supported: send gzip, deflate or identity"
        )
    return window


# An answer below it is about one packet either way, and packing costs more time than it saves.
LEAST_PACKED_BYTES = 1024
# zlib's quickest level: on the digits of floats the others take several times as long for some percent.
_LEVEL = 1
# Browsers send some forty bytes. What is far longer is not read: a head's worth of it would take 50 ms.
_LONGEST_ACCEPTED_BYTES = 1024


@lru_cache(maxsize=256)
def encoding_for(accepted: bytes) -> bytes | None:
    """The encoding an Accept-Encoding prefers of those spoken here; None to send the answer as it is.

    The highest q wins, the first of equals, as Triton decides it. Others than ENCODINGS are not answered at all: a
    client that unpacks nothing but gzip and deflate (tritonclient.aio) still says that it accepts `br`.
    """
    if len(accepted) > _LONGEST_ACCEPTED_BYTES:
        return None
    best, best_q = None, 0.0
    for item in accepted.lower().split(b","):
        name, *parameters = (part.strip() for part in item.split(b";"))
        if name != b"identity" and name not in ENCODINGS:
            continue
        if (q := _q(parameters)) > best_q:
            best, best_q = name, q
    return best if best in ENCODINGS else None


def _q(parameters: list[bytes]) -> float:
    """The weight among an encoding's parameters, 1 where there is none, 0 where it is no number."""
    for parameter in parameters:
        if parameter.startswith(b"q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def pack(body: bytes, encoding: bytes) -> bytes:
    """The body in one of ENCODINGS."""
    packer = zlib.compressobj(_LEVEL, wbits=ENCODINGS[encoding])
    return packer.compress(body) + packer.flush()


# Gzip may be several of it, one after the other (RFC 1952, 2.2). What follows one is copied.
_MOST_MEMBERS = 16
_MEMBER = b"\x1f\x8b"


def unpack(body: bytes, window: int, limit_bytes: int) -> bytes:
    """The unpacked body. Raises Malformed when it is damaged, BodyTooLarge when it would be over the limit."""
    pieces: list[bytes] = []
    room_bytes = limit_bytes
    is_whole = False
    for _ in range(_MOST_MEMBERS if window == ENCODINGS[b"gzip"] else 1):
        inflater = zlib.decompressobj(window)
        try:
            piece = inflater.decompress(body, room_bytes + 1)
        except zlib.error as error:
            raise Malformed(f"the body is not what its Content-Encoding says: {error}") from None
        room_bytes -= len(piece)
        if room_bytes < 0:
            raise too_large(limit_bytes, "unpacks to more than")
        pieces.append(piece)
        is_whole, body = inflater.eof, inflater.unused_data
        if not body.startswith(_MEMBER):
            break
    if not is_whole or body:
        raise Malformed("the body is not what its Content-Encoding says: it is cut off, or bytes follow its end")
    return b"".join(pieces)


def too_large(limit_bytes: int, what: str = "is over") -> BodyTooLarge:
    """The error of a body over the limit."""
    return BodyTooLarge(f"the body {what} {limit_bytes} bytes: send fewer rows a request, or raise max_body_bytes")
