"""What the slow and obvious readers of every protocol have in common: JSON and its values, one after the other."""

import json
import math
from typing import Any

import numpy as np

from engines.signature import NUMPY_DTYPES

Array = np.ndarray[Any, Any]


class Refused(Exception):
    """The reference takes no such request."""


def refuse(*_: object) -> Any:
    raise Refused


def need(fact: object) -> None:
    if not fact:
        refuse()


def finite(text: str) -> float:
    return float(text) if math.isfinite(float(text)) else refuse()


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(pairs) if len(dict(pairs)) == len(pairs) else refuse()


TOKENS = {"NaN": math.nan, "-NaN": math.nan}
TOKENS |= {"Infinity": math.inf, "-Infinity": -math.inf, "Inf": math.inf, "-Inf": -math.inf}


class Reader(json.JSONDecoder):
    """Python's JSON, value by value, where each may also be one of TOKENS."""

    def __init__(self) -> None:
        super().__init__(parse_float=finite, object_pairs_hook=unique)
        self.parse_array = lambda start, _: json.decoder.JSONArray(start, self.scan_once)
        self.parse_object = lambda start, strict, _, *hooks: json.decoder.JSONObject(
            start, strict, self.scan_once, *hooks
        )
        self.plain = json.scanner.py_make_scanner(self)
        self.scan_once = self.value

    def value(self, text: str, at: int) -> tuple[Any, int]:
        for token in TOKENS:
            if text.startswith(token, at):
                return TOKENS[token], at + len(token)
        return self.plain(text, at)


def read_whole(body: bytes) -> Any:
    """The value that the body is."""
    try:
        text = body.decode().removeprefix("\ufeff").strip(" \t\r\n")
        document, end = Reader().raw_decode(text)
    except (ValueError, RecursionError):
        return refuse()
    return document if end == len(text) else refuse()


def read_first(body: bytes) -> Any:
    """The value at the start, and nothing of what follows it."""
    text = body.decode(errors="surrogateescape").removeprefix("\ufeff").lstrip(" \t\r\n")
    try:
        document, end = Reader().raw_decode(text)
    except (ValueError, RecursionError):
        return refuse()
    is_utf8 = not any("\udc80" <= character <= "\udcff" for character in text[:end])
    return document if is_utf8 else refuse()


def shape_of(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        return ()
    shapes = {shape_of(child) for child in value}
    return (len(value), *(shapes.pop() if shapes else ())) if len(shapes) < 2 else refuse()


def element(value: Any, dtype: str) -> Any:
    if dtype == "string":
        return value if isinstance(value, str) and is_text(value) else refuse()
    if dtype == "bool":
        return value if isinstance(value, bool) else refuse()
    need(isinstance(value, int | float) and not isinstance(value, bool))
    if NUMPY_DTYPES[dtype].kind in "iu":
        bounds = np.iinfo(NUMPY_DTYPES[dtype])
        return value if isinstance(value, int) and bounds.min <= value <= bounds.max else refuse()
    try:
        return np.float64(float(value)).astype(NUMPY_DTYPES[dtype])
    except OverflowError:
        return refuse()


def is_text(value: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in value)


def bits(arrays: dict[str, Array]) -> dict[str, tuple[Any, ...]]:
    """Arrays so that they can be compared."""
    return {
        name: (a.dtype, a.shape, a.tolist() if a.dtype == object else np.ascontiguousarray(a).tobytes())
        for name, a in arrays.items()
    }
