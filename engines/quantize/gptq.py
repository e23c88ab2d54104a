"""GPTQ: each rounded row of weights is made up for by the rows that are not rounded yet.

Which of them can do so follows from how the inputs go together, seen on calibration rows.
Source: Frantar et al., arXiv 2210.17323.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engines.engine import Array
from engines.quantize.activations import activations
from engines.quantize.arithmetic import Grid, block_scales, dequantize, middle, quantize
from engines.quantize.rows import Rows

_DAMPING = 0.01  # of the mean moment: inputs that are always 0, or go exactly together, leave the matrix singular


def second_moments(path: Path, tensors: Sequence[str], rows: Rows) -> dict[str, Array]:
    """Of each tensor's last axis: the sum of x^T x over all rows, [channels, channels]."""
    sums = {name: _Moments() for name in tensors}
    for row in activations(path, tensors, rows):
        for name, values in row.items():
            sums[name].add(values.reshape(-1, values.shape[-1]))
    return {name: own.summed() for name, own in sums.items()}


class _Moments:
    """As many vectors at once as they have channels: for each one, the whole sum would be read and written again."""

    def __init__(self) -> None:
        self._sum: Array = np.zeros(())
        self._waiting: list[Array] = []
        self._count = 0

    def add(self, vectors: Array) -> None:
        self._waiting.append(vectors)
        self._count += len(vectors)
        if self._count >= vectors.shape[1]:
            self.summed()

    def summed(self) -> Array:
        if self._waiting:
            vectors = np.concatenate(self._waiting).astype(np.float64)
            self._sum = self._sum + vectors.T @ vectors
            self._waiting, self._count = [], 0
        return self._sum


def compensate(weights: Array, moments: Array, block: int, grid: Grid) -> tuple[Array, Array]:
    """Integers [inputs, outputs] and scales [blocks, outputs] of weights [inputs, outputs]; 0 is the middle."""
    left = weights.astype(np.float64)
    spread = _spread(moments)
    quantized, scales = np.zeros_like(left), []
    for row in range(len(left)):
        if row % block == 0:
            scales.append(block_scales(left[row : row + block].T, grid)[:, 0])
        quantized[row] = quantize(left[row], scales[-1], middle(grid), grid)
        error = (left[row] - dequantize(quantized[row], scales[-1], middle(grid))) / spread[row, row]
        left[row + 1 :] -= np.outer(spread[row, row + 1 :], error)
    return quantized, np.stack(scales)


def _spread(moments: Array) -> Array:
    """The upper Cholesky factor of the inverse."""
    damped = moments + np.eye(len(moments)) * max(_DAMPING * float(np.diag(moments).mean()), 1e-12)
    return np.asarray(np.linalg.cholesky(np.linalg.inv(damped)).T)
