"""Tensors out of nested JSON lists, to the letter (standard library): every value, and every error in words."""

import base64
import binascii
import codecs
import json
import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from app.errors import Malformed
from app.protocols.quoting import quoted, told
from engines.engine import Array
from engines.signature import NUMPY_DTYPES, TensorSpec

_ReadLeaf = Callable[[Any, TensorSpec, Sequence[int]], Any]
"""Reads what stands at a place that is no list."""

MOST_DIMENSIONS = 32
"""Of a tensor."""

_BLANKS = " \t\r\n"
_INFINITE = 2**1024 - 2**970  # integers from here on have no nearest double

# In both readers 1e39 is infinity in float32, as in TensorFlow Serving. (A np.errstate around each conversion would
# cost 1 us a request.)
warnings.filterwarnings("ignore", "overflow encountered in cast", RuntimeWarning)


def parse(body: bytes) -> Any:
    """The JSON value at the start of the body, whatever bytes come after it, as TensorFlow Serving reads one.

    Raises Malformed. NaN, Infinity and Inf are numbers, also after a minus; what is too large for a double is none.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        return _first_value(body.decode())[0]
    except UnicodeDecodeError as error:
        return _value_before(body, error.start)


def parse_whole(body: bytes) -> Any:
    """The JSON value that the body is; more than blanks after it is an error. Else as `parse`."""
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        value, rest = _first_value(body.decode())
    except UnicodeDecodeError as error:
        raise _not_utf8(error.start) from None
    if rest := rest.strip(_BLANKS):
        raise Malformed(f"JSON parse error: {rest[:20]!r} follows the end of the document")
    return value


def _value_before(body: bytes, end: int) -> Any:
    """The value, if it is complete before the byte that is not UTF-8."""
    try:
        return _first_value(body[:end].decode())[0]
    except Malformed:
        raise _not_utf8(end) from None


def _not_utf8(position: int) -> Malformed:
    return Malformed(f"JSON parse error: byte {position} of the body is not UTF-8")


def _first_value(text: str) -> tuple[Any, str]:
    """The value at the start, and what comes after it."""
    text = text.lstrip(_BLANKS)
    try:
        return _read(text)
    except json.JSONDecodeError as error:
        counted = "" if error.doc == text else ", counted with Infinity for Inf"
        what = f"{error.msg} at character {error.pos}{counted}" if text else "the document is empty"
        raise Malformed(f"JSON parse error: {what}") from None
    except RecursionError:
        raise Malformed("JSON parse error: nested too deep") from None
    except ValueError:  # an integer of more digits than Python converts
        raise Malformed("JSON parse error: number too big") from None


def _read(text: str) -> tuple[Any, str]:
    try:
        value, end = _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        if not text.startswith(_OTHER_TOKENS, error.pos):
            raise
        text = _TOKENS.sub(_as_python_reads_it, text)
        value, end = _DECODER.raw_decode(text)
    return value, text[end:]


# rapidjson reads these as numbers, Python's json does not.
_OTHER_TOKENS = ("Inf", "-Inf", "-NaN")
# Strings are matched to be skipped, also one without an end; possessively, for the text is anybody's.
_TOKENS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|Inf(?:inity)?|-NaN', re.DOTALL)
_PYTHONS_TOKENS = {"Inf": "Infinity", "-NaN": "NaN"}


def _as_python_reads_it(found: re.Match[str]) -> str:
    return _PYTHONS_TOKENS.get(found[0], found[0])


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise Malformed(f"JSON parse error: number too big: {text[:40]}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise Malformed(f"JSON parse error: key {quoted(twice)} stands twice in one object")
    return found


_DECODER = json.JSONDecoder(parse_float=_finite, object_pairs_hook=_unique)


def tensor(value: Any, spec: TensorSpec, *, takes_b64: bool = True) -> Array:
    """The array that a parsed JSON value means for an input of this dtype; its shape is not compared with the spec.

    Where it `takes_b64`, as TensorFlow Serving does, `{"b64": "..."}` may stand for a string.

    Raises Malformed for a ragged list and for a leaf that is no value of the dtype, naming its place. There is no
    coercion: a bool is no number, `1.0` is no integer, nothing wraps around.
    """
    shape: list[int] = []
    node = value
    while isinstance(node, list):
        shape.append(len(node))
        node = node[0] if node else None
    if len(shape) > MOST_DIMENSIONS:
        raise Malformed(
            f"input '{spec.name}' is nested {len(shape)} lists deep, at most {MOST_DIMENSIONS} are possible"
        )
    leaves: list[Any] = []
    read = _number if spec.dtype != "string" else _text_or_b64 if takes_b64 else _text
    _collect(value, shape, spec, read, [], leaves)
    if spec.dtype == "string":
        array = np.empty(len(leaves), object)
        array[:] = leaves
    else:
        array = np.array(leaves, _wide(spec.dtype)).astype(NUMPY_DTYPES[spec.dtype])
    return array.reshape(shape)


def _wide(dtype: str) -> Any:
    """The dtype that takes Python's numbers exactly before they are narrowed."""
    numpy_dtype = NUMPY_DTYPES[dtype]
    return numpy_dtype if numpy_dtype.kind in "iub" else np.float64


def _collect(
    node: Any, shape: Sequence[int], spec: TensorSpec, read: _ReadLeaf, path: list[int], leaves: list[Any]
) -> None:
    if not shape:
        leaves.append(read(node, spec, path))
        return
    if not isinstance(node, list):
        raise Malformed(f"input {_place(spec, path)}: expected a list of {shape[0]}, got {told(node)}")
    if len(node) != shape[0]:
        raise Malformed(
            f"input {_place(spec, path)}: expected a list of {shape[0]} as before it, got one of {len(node)}: "
            "lists must not be ragged"
        )
    for index, child in enumerate(node):
        path.append(index)
        _collect(child, shape[1:], spec, read, path, leaves)
        path.pop()


def _number(value: Any, spec: TensorSpec, path: Sequence[int]) -> Any:
    """A number, or a bool where the dtype is that."""
    kind = NUMPY_DTYPES[spec.dtype].kind
    if kind == "b":
        fits = isinstance(value, bool)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        fits = False
    elif kind in "iu":
        bounds = np.iinfo(NUMPY_DTYPES[spec.dtype])
        fits = isinstance(value, int) and bounds.min <= value <= bounds.max
    else:
        fits = isinstance(value, float) or abs(value) < _INFINITE
    if not fits:
        raise Malformed(f"input {_place(spec, path)}: expected {_wanted(spec.dtype)}, got {told(value)}")
    return value


def _text(value: Any, spec: TensorSpec, path: Sequence[int]) -> str:
    if not isinstance(value, str):
        raise Malformed(f"input {_place(spec, path)}: expected a string, got {told(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Malformed(f"input {_place(spec, path)}: the string holds half a surrogate pair") from None
    return value


def _text_or_b64(value: Any, spec: TensorSpec, path: Sequence[int]) -> str:
    if isinstance(value, str):
        return _text(value, spec, path)
    if not (isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)):
        raise Malformed(f'input {_place(spec, path)}: expected a string or {{"b64": "..."}}, got {told(value)}')
    packed = value["b64"]
    if not packed.endswith("="):  # padding may be left out; where there is some, it must be right, as in absl
        packed += "=" * (-len(packed) % 4)
    try:
        return base64.b64decode(packed, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise Malformed(f"input {_place(spec, path)}: 'b64' is not base64 of UTF-8 text") from None


def _place(spec: TensorSpec, path: Sequence[int]) -> str:
    return f"'{spec.name}'" + "".join(f"[{index}]" for index in path)


def _wanted(dtype: str) -> str:
    kind = NUMPY_DTYPES[dtype].kind
    if kind == "b":
        return "true or false"
    if kind in "iu":
        bounds = np.iinfo(NUMPY_DTYPES[dtype])
        return f"an integer of {dtype}, {bounds.min} to {bounds.max}, without a decimal point"
    return f"a number ({dtype})"
