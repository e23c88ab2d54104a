"""Tensors written as nested JSON lists.

Two readers, one meaning. The fast one (simdjson) takes well-formed numbers and declines everything else without an
opinion; the exact one (the standard library) decides all that was declined and words the errors.
"""

import base64
import binascii
import json
import math
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from app.errors import Malformed
from engines.signature import NUMPY_DTYPES, TensorSpec

Array = np.ndarray[Any, Any]


def dumps(value: Any) -> bytes:
    """JSON of what `jsonable` gives. orjson wants C-contiguous arrays and hands others to its `default`."""
    return orjson.dumps(value, np.ascontiguousarray, orjson.OPT_SERIALIZE_NUMPY)


_MOST_DIMENSIONS = 32
# Below it bytes.count is quicker, above it numpy by far.
_SHORT_BYTES = 8192
_INFINITE = 2**1024 - 2**970  # integers from here on have no nearest double

# 1e39 is infinity in float32, as in TensorFlow Serving. (A np.errstate around each conversion costs 1 us a request.)
warnings.filterwarnings("ignore", "overflow encountered in cast", RuntimeWarning)

# --- fast reading


class Numbers:
    """How simdjson's flat buffers become an array of one dtype."""

    def __init__(self, dtype: str) -> None:
        self.dtype = NUMPY_DTYPES[dtype]
        if self.dtype.kind in "iu":
            bounds = np.iinfo(self.dtype)
            self.buffer_type, wide = ("u", "u8") if dtype == "uint64" else ("i", "i8")
            self.low, self.high = int(bounds.min), int(bounds.max)
        else:
            self.buffer_type, wide = "d", "f8"
        self.buffer_dtype = np.dtype(wide)
        self.checks_range = self.dtype.kind in "iu" and self.dtype.itemsize < 8

    @staticmethod
    def fit(dtype: str) -> bool:
        """Whether values of this dtype are JSON numbers."""
        return dtype not in ("string", "bool")

    def convert(self, flat: Array) -> Array:
        """The buffer in the wanted dtype. Raises ValueError when a value does not fit."""
        if self.checks_range and flat.size and (flat.min() < self.low or flat.max() > self.high):
            raise ValueError("out of range")
        return flat.astype(self.dtype, copy=False)


def read_flat(node: Any, numbers: Numbers) -> Array:
    """All numbers under a simdjson array, whatever its nesting. Raises ValueError or TypeError at anything else."""
    return numbers.convert(np.frombuffer(node.as_buffer(of_type=numbers.buffer_type), numbers.buffer_dtype))


class RowLayout:
    """One numeric input whose rows all have one shape, as the signature fixes it: what most models have.

    The count of numbers and of lists then tells nearly everything about a text.
    """

    def __init__(self, name: str, dtype: str, row_shape: tuple[int, ...]) -> None:
        self.name = name
        self.numbers = Numbers(dtype)
        self.row_shape = row_shape
        self.row_size = math.prod(row_shape)
        self.row_lists = sum(math.prod(row_shape[:axis]) for axis in range(len(row_shape)))

    def read(self, node: Any, list_count: int) -> Array | None:
        """The rows that a simdjson array holds, in a text with so many `[`; None when it does not hold just rows.

        Raises as `read_flat`.
        """
        rows = len(node)
        flat = read_flat(node, self.numbers)
        if not rows or flat.size != rows * self.row_size or list_count != 1 + rows * self.row_lists:
            return None
        if rows > 1 or len(self.row_shape) > 1:  # else its one list can have no other length
            level = [node]
            for size in self.row_shape:
                level = [child for parent in level for child in parent]
                if set(map(len, level)) != {size}:
                    return None
        return flat.reshape((rows, *self.row_shape))


def count_lists(text: bytes) -> int:
    """How often `[` stands in the text, strings included."""
    second = text.find(b"[", text.find(b"[") + 1)
    if second == text.rfind(b"[") and second > 0:  # a flat row, the most common text: memchr tells in no time
        return 2
    if len(text) < _SHORT_BYTES:
        return text.count(b"[")
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord("[")))


def read_numbers(nodes: Sequence[Any], rank: int, numbers: Numbers) -> tuple[Array, int]:
    """Read equally shaped tensors of a known rank (1 or more) from simdjson arrays, stacked along a new first axis.

    Returns the stack and how many JSON lists it was read from. Raises ValueError, TypeError or IndexError when a
    list is ragged, too shallow, empty or holds anything but numbers of the dtype. A list nested *deeper* than `rank`
    is flattened unseen: the caller compares the number of lists with the number of `[` in the text, which differ then.
    """
    parts = [read_flat(node, numbers) for node in nodes]
    shape = [len(nodes)]
    level, count = nodes, len(nodes)
    for axis in range(rank):  # as_buffer refused all but lists and numbers, and a number has no length
        if axis:
            level = [child for parent in level for child in parent]
            count += len(level)
        size = len(level[0])
        if len(level) > 1 and set(map(len, level)) != {size}:
            raise ValueError("ragged")
        shape.append(size)
    flat = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return flat.reshape(shape), count


# --- exact reading


def parse(body: bytes) -> Any:
    """The JSON value at the start of the body, bytes after it ignored as TensorFlow Serving does.

    Raises Malformed. NaN, Infinity and -Infinity are numbers; a number too large for a double is none.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(f"JSON parse error: byte {error.start} of the body is not UTF-8") from None
    try:
        return _DECODER.raw_decode(text.lstrip(" \t\r\n"))[0]
    except json.JSONDecodeError as error:
        what = "the document is empty" if not text.strip() else f"{error.msg} at character {error.pos}"
        raise Malformed(f"JSON parse error: {what}") from None
    except RecursionError:
        raise Malformed("JSON parse error: nested too deep") from None
    except ValueError:  # an integer of more digits than Python converts
        raise Malformed("JSON parse error: number too big") from None


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise Malformed(f"JSON parse error: number too big: {text[:40]}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise Malformed(f"JSON parse error: key '{twice[:100]}' stands twice in one object")
    return found


_DECODER = json.JSONDecoder(parse_float=_finite, object_pairs_hook=_unique)


def tensor(value: Any, spec: TensorSpec) -> Array:
    """The array that a parsed JSON value means for an input of this dtype; its shape is not compared with the spec.

    Raises Malformed for a ragged list and for a leaf that is no value of the dtype, naming its place. There is no
    coercion: a bool is no number, `1.0` is no integer, nothing wraps around.
    """
    shape: list[int] = []
    node = value
    while isinstance(node, list):
        shape.append(len(node))
        node = node[0] if node else None
    if len(shape) > _MOST_DIMENSIONS:
        raise Malformed(
            f"input '{spec.name}' is nested {len(shape)} lists deep, at most {_MOST_DIMENSIONS} are possible"
        )
    leaves: list[Any] = []
    _collect(value, shape, spec, [], leaves)
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


def _collect(node: Any, shape: Sequence[int], spec: TensorSpec, path: list[int], leaves: list[Any]) -> None:
    if not shape:
        leaves.append(_leaf(node, spec, path))
        return
    if not isinstance(node, list):
        raise Malformed(f"input {_place(spec, path)}: expected a list of {shape[0]}, got {_told(node)}")
    if len(node) != shape[0]:
        raise Malformed(
            f"input {_place(spec, path)}: expected a list of {shape[0]} as before it, got one of {len(node)}: "
            "lists must not be ragged"
        )
    for index, child in enumerate(node):
        path.append(index)
        _collect(child, shape[1:], spec, path, leaves)
        path.pop()


def _leaf(value: Any, spec: TensorSpec, path: Sequence[int]) -> Any:
    if spec.dtype == "string":
        return _text(value, spec, path)
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
        raise Malformed(f"input {_place(spec, path)}: expected {_wanted(spec.dtype)}, got {_told(value)}")
    return value


def _text(value: Any, spec: TensorSpec, path: Sequence[int]) -> str:
    if isinstance(value, str):
        encoded = value
    elif isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str):
        try:
            encoded = base64.b64decode(value["b64"], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise Malformed(f"input {_place(spec, path)}: 'b64' is not base64 of UTF-8 text") from None
    else:
        raise Malformed(f'input {_place(spec, path)}: expected a string or {{"b64": "..."}}, got {_told(value)}')
    try:
        encoded.encode()
    except UnicodeEncodeError:
        raise Malformed(f"input {_place(spec, path)}: the string holds half a surrogate pair") from None
    return encoded


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


def _told(value: Any) -> str:
    """A value as a message may quote it."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


# --- writing


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
