"""Do rows keep their answers when they share a batch?"""

from collections.abc import Iterator
from math import inf, isnan
from typing import NamedTuple

import numpy as np

from engines.engine import Array, Arrays, Runner

TOLERANCE = 1e-3
"""As a share of the output's scale.

Kernels sum in another order for another batch size; that moves float32 answers by some 1e-6 of their scale. An
activation scale that is taken over the whole batch (dynamic INT8) moves them by 1e-2.
"""


class Change(NamedTuple):
    """What company does to one output of one row."""

    difference: float
    """Largest change of a float as a share of the largest finite value; 0 or infinity for what is exact."""
    words: str


def changes(runner: Runner, rows: Arrays) -> Iterator[Change]:
    """Every output of every row beside the same row alone.

    `rows` are different rows of each input along axis 0. Compared at every row position of the whole batch and of
    every smaller power of two. Raises what the runner raises.
    """
    count = len(next(iter(rows.values())))
    alone = [runner.run({name: array[i : i + 1] for name, array in rows.items()}) for i in range(count)]
    size = count
    while size > 1:
        together = runner.run({name: array[:size] for name, array in rows.items()})
        for name, array in together.items():
            if array.ndim == 0 or len(array) != size:
                yield Change(inf, f"output '{name}' has shape {list(array.shape)} for {size} rows")
                continue
            for position in range(size):
                change = difference(alone[position][name], array[position : position + 1])
                words = (
                    f"output '{name}' of a row changes by {change:.2g} of its scale "
                    f"when the row shares a batch of {size}"
                )
                yield Change(change, words)
        size //= 2


def difference(one: Array, other: Array) -> float:
    """Between two answers, as in `Change`; infinity where one holds NaN and the other does not."""
    if one.shape != other.shape:
        return inf
    if one.dtype.kind in "Obiu":
        return 0.0 if np.array_equal(one, other) else inf
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    differs = (one != other) & ~(np.isnan(one) & np.isnan(other))
    if not differs.any():
        return 0.0
    scale = np.abs(one[np.isfinite(one)]).max(initial=1e-6)
    largest = float(np.abs(one[differs] - other[differs]).max() / scale)
    return inf if isnan(largest) else largest
