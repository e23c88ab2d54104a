"""Numbers out of nested JSON lists, the quick way (simdjson).

Takes what is well-formed beyond doubt and declines everything else without an opinion: `json_exact` decides all that
was declined and words the errors. Both mean the same.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from engines.engine import Array
from engines.signature import NUMPY_DTYPES

NOT_NUMBERS = (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError)
"""What simdjson's objects and numpy raise where the text is not what was looked for."""

# Below it bytes.count is quicker, above it numpy by far.
_SHORT_BYTES = 8192

# To walk through lists takes 0.1 us for each, to look for brackets 0.5 ns for each byte.
_FEW_LISTS = 1024
_LONG_LIST_BYTES = 128
_MOST_LISTS = 65_536
_TWO_LISTS = re.compile(rb"\[[ \t\r\n]*\[")
_NO_STRUCTURE = bytes(byte for byte in range(256) if byte not in b"[,]")


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
        self.row_lists = _lists_of(row_shape)

    def read(self, node: Any, text: bytes) -> Array | None:
        """The rows that a simdjson array holds, the only lists of the text; None when it does not hold just rows.

        Raises as `read_alone`.
        """
        rows = len(node)
        lists = 1 + rows * self.row_lists
        flat = read_flat(node, self.numbers)
        if not rows or flat.size != rows * self.row_size or count_lists(text) != lists:
            return None
        shape = (rows, *self.row_shape)
        if rows > 1 or len(self.row_shape) > 1:  # else its one list can have no other length
            _check_nesting(node, shape, lists, text)
        return flat.reshape(shape)


def read_alone(node: Any, shape: tuple[int, ...], numbers: Numbers, text: bytes) -> tuple[Array, int]:
    """Read a tensor of that shape from a simdjson array, where it is the only one of the text.

    Returns and raises as `read_numbers`, and like that flattens unseen what is nested deeper.
    """
    flat = read_flat(node, numbers)
    if not flat.size or flat.size != math.prod(shape):
        raise ValueError("another shape")
    lists = _lists_of(shape)
    _check_nesting(node, shape, lists, text)
    return flat.reshape(shape), lists


def shape_of(node: Any, rank: int) -> tuple[int, ...]:
    """The shape that the first lists under a simdjson array have, `rank` of them one in the other."""
    shape = [len(node)]
    for _ in range(rank - 1):
        node = node[0]
        shape.append(len(node))
    return tuple(shape)


def _lists_of(shape: tuple[int, ...]) -> int:
    """How many JSON lists a tensor is written with."""
    lists = level = 1
    for size in shape[:-1]:
        level *= size
        lists += level
    return lists


def _check_nesting(node: Any, shape: tuple[int, ...], lists: int, text: bytes) -> None:
    """Raises ValueError unless the lists under a simdjson array are nested as the shape says, which takes so many.

    They hold as many numbers as it says, at least one, and nothing else. The caller compares the number of lists.
    """
    if lists > _FEW_LISTS and lists * _LONG_LIST_BYTES > len(text):
        _check_brackets(shape, lists, text)
        return
    if len(node) != shape[0]:
        raise ValueError("another shape")
    level = [node]
    for size in shape[1:]:
        level = [child for parent in level for child in parent]
        if set(map(len, level)) != {size}:
            raise ValueError("ragged")


def _check_brackets(shape: tuple[int, ...], lists: int, text: bytes) -> None:
    """As `_check_nesting`, for very many lists: each is an object to Python, their brackets and commas are bytes.

    What is compared ends before the next quote, so it lies in one string or outside of all. In a string, or in another
    list, its brackets would come to the tensor's own: there would be more `[` in the text than the caller allows.
    """
    if 2 * lists > len(text):  # nothing is built that is longer than the text
        raise ValueError("another shape")
    first = _TWO_LISTS.search(text)
    start = first.start() if first else 0
    stop = text.find(b'"', start)
    structure = text[start : stop if stop >= 0 else len(text)].translate(None, _NO_STRUCTURE)
    wanted = b"[" + b"," * (shape[-1] - 1) + b"]"
    for size in reversed(shape[:-1]):
        wanted = b"[" + ((wanted + b",") * size)[:-1] + b"]"
    if not structure.startswith(wanted):
        raise ValueError("ragged")


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
    list is ragged, too shallow, empty or holds anything but numbers of the dtype, and when there are more lists than
    the event loop has time for. A list nested *deeper* than `rank` is flattened unseen: the caller compares the number
    of lists with the number of `[` in the text, which differ then.
    """
    parts = [read_flat(node, numbers) for node in nodes]
    shape = [len(nodes)]
    level, count = nodes, len(nodes)
    for axis in range(rank):  # as_buffer refused all but lists and numbers, and a number has no length
        if axis:
            count += sum(map(len, level))
            if count > _MOST_LISTS:
                raise ValueError("too many lists")
            level = [child for parent in level for child in parent]
        size = len(level[0])
        if len(level) > 1 and set(map(len, level)) != {size}:
            raise ValueError("ragged")
        shape.append(size)
    flat = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return flat.reshape(shape), count
