"""Rows as columns: what every format gives, and how they are picked, joined and cut while they stream by."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from engines.engine import Array

Columns = dict[str, Array]
"""Name -> array with one entry a row along axis 0: the inputs, and LABELS where the set has them."""

LABELS = "labels"
BLOCK_BYTES = 1 << 20
"""About so much a format reads at a time."""


class Table(Protocol):
    """One set of rows in one format, not yet checked against a signature."""

    count: int

    def read(self, chosen: Sequence[int]) -> Iterator[Columns]:
        """The rows at these ascending positions, in blocks of any size. Raises DataError."""
        ...


def rows_in(columns: Columns) -> int:
    """How many rows there are."""
    return len(next(iter(columns.values())))


def to_bytes(array: Array) -> bytes:
    """The values, to digest them: arrays of one dtype and shape have the same bytes if they are equal."""
    if array.dtype == object:  # the length keeps "a", "bc" and "ab", "c" apart
        texts = [str(value).encode() for value in array.flat]
        return b"".join(len(text).to_bytes(8, "little") + text for text in texts)
    return array.tobytes()


def choose(count: int, most_rows: int | None, seed: int) -> Sequence[int]:
    """Ascending positions: all, or `most_rows` of them as the seed says."""
    if most_rows is None or most_rows >= count:
        return range(count)
    chosen: list[int] = np.sort(np.random.default_rng(seed).choice(count, most_rows, replace=False)).tolist()
    return chosen


def pick(blocks: Iterator[Columns], chosen: Sequence[int]) -> Iterator[Columns]:
    """Of rows that stream by from the first on, those at the chosen ascending positions."""
    positions = np.asarray(chosen, np.int64)
    start = 0
    for block in blocks:
        end = start + rows_in(block)
        first, last = np.searchsorted(positions, [start, end])
        inside = positions[first:last] - start
        if len(inside):
            yield {name: array[inside] for name, array in block.items()}
        if last == len(positions):
            return
        start = end


def rebatch(blocks: Iterator[Columns], rows: int) -> Iterator[Columns]:
    """The same rows, `rows` at a time; the last one may be shorter."""
    held: list[Columns] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += rows_in(block)
        if count < rows:
            continue
        joined = _join(held)
        whole = count - count % rows
        for start in range(0, whole, rows):
            yield {name: array[start : start + rows] for name, array in joined.items()}
        held = [{name: array[whole:] for name, array in joined.items()}] if count > whole else []
        count -= whole
    if held:
        yield _join(held)


def _join(blocks: list[Columns]) -> Columns:
    if len(blocks) == 1:
        return blocks[0]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
