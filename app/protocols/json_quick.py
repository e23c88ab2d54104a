"""Numbers out of nested JSON lists, the quick way (simdjson).

Takes what is well-formed beyond doubt and declines everything else without an opinion: `json_exact` decides all that
was declined and words the errors. Both mean the same.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from engines.engine import Array
from engines.signature import NUMPY_DTYPES

NOT_NUMBERS = (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError)
"""What simdjson's objects and numpy raise where the text is not what was looked for."""

# Below it bytes.count is quicker, above it numpy by far.
_SHORT_BYTES = 8192


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
