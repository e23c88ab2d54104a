"""Tensors as JSON text."""

import base64
from typing import Any

import numpy as np
import orjson

from engines.engine import Array


def dumps(value: Any) -> bytes:
    """JSON of what `jsonable` gives. orjson wants C-contiguous arrays and hands others to its `default`."""
    return orjson.dumps(value, np.ascontiguousarray, orjson.OPT_SERIALIZE_NUMPY)


def jsonable(array: Array, *, as_b64: bool = False) -> Any:
    """The array as `dumps` writes it: floats as the shortest text of *their* precision.

    `as_b64` writes every string as `{"b64": ...}`.
    """
    kind = array.dtype.kind
    if kind == "O":
        values = array.tolist()
        return _b64(values) if as_b64 else values
    if kind == "V":  # bfloat16
        array = array.astype(np.float32)
    return array if array.ndim else array[()]


def with_tokens(array: Array, *, as_b64: bool = False) -> Any:
    """As `jsonable`, but what is not finite becomes the bare tokens NaN, Infinity, -Infinity.

    orjson writes null there; TensorFlow Serving writes tokens.
    """
    value = jsonable(array, as_b64=as_b64)
    if isinstance(value, list | dict | str) or array.dtype.kind in "iub":
        return value
    odd = np.asarray(value)[~np.isfinite(value)]
    tokens = [b"NaN" if np.isnan(v) else b"Infinity" if v > 0 else b"-Infinity" for v in odd]
    texts = dumps(value).split(b"null")
    return orjson.Fragment(b"".join(text + token for text, token in zip(texts, [*tokens, b""], strict=True)))


def _b64(values: Any) -> Any:
    if isinstance(values, list):
        return [_b64(value) for value in values]
    return {"b64": base64.b64encode(values.encode()).decode()}
