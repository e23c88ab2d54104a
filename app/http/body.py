"""Request bodies: bounded while they arrive and when they are unpacked."""

import zlib

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


def unpack(body: bytes, window: int, limit_bytes: int) -> bytes:
    """The unpacked body. Raises Malformed when it is damaged, BodyTooLarge when it would be over the limit."""
    inflater = zlib.decompressobj(window)
    try:
        unpacked = inflater.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise Malformed(f"the body is not what its Content-Encoding says: {error}") from None
    if len(unpacked) > limit_bytes:
        raise too_large(limit_bytes, "unpacks to more than")
    if not inflater.eof or inflater.unused_data:
        raise Malformed("the body is not what its Content-Encoding says: it is cut off, or bytes follow its end")
    return unpacked


def too_large(limit_bytes: int, what: str = "is over") -> BodyTooLarge:
    """The error of a body over the limit."""
    return BodyTooLarge(f"the body {what} {limit_bytes} bytes: send fewer rows a request, or raise max_body_bytes")
