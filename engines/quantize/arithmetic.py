"""The arithmetic of quantization: q = saturate(round(x / scale) + zero), x = (q - zero) * scale.

Rounded is to even where two are as near, and the zero point is added after rounding, as ONNX's QuantizeLinear does.
Sources: ONNX operators QuantizeLinear-21 and DequantizeLinear-21; Jacob et al., arXiv 1712.05877; Krishnamoorthi,
arXiv 1806.08342; Widrow and Kollar, Quantization Noise (2008).
"""

from math import log10
from typing import NamedTuple

import numpy as np

from engines.engine import Array
from engines.quantize.report import MOST_DB


class Grid(NamedTuple):
    """The integers that there are."""

    least: int
    most: int


INT8 = Grid(-128, 127)
UINT8 = Grid(0, 255)
UINT4 = Grid(0, 15)


def quantize(values: Array, scale: Array, zero: Array | float, grid: Grid) -> Array:
    """Integers, as floats; scale and zero broadcast. What lies outside the grid becomes its end."""
    return np.asarray(np.clip(np.rint(values / scale) + zero, grid.least, grid.most))


def dequantize(quantized: Array, scale: Array, zero: Array | float) -> Array:
    """What the integers stand for."""
    return np.asarray((quantized - zero) * scale)


def asymmetric(low: Array, high: Array, grid: Grid) -> tuple[Array, Array]:
    """Scale and zero point for values from low to high, widened to hold 0: so 0.0 is exact."""
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    scale = (high - low) / (grid.most - grid.least)
    scale = np.where(scale > 0, scale, 1).astype(low.dtype)
    return scale, np.rint(grid.least - low / scale)


def symmetric(largest: Array) -> Array:
    """The scale in INT8 for values from -largest to largest: the zero point is 0, and -128 is not used."""
    scale = np.asarray(largest) / INT8.most
    return np.where(scale > 0, scale, 1).astype(scale.dtype)


def middle(grid: Grid) -> int:
    """The zero point of a symmetric, unsigned grid."""
    return (grid.most + 1) // 2


def block_scales(blocks: Array, grid: Grid) -> Array:
    """One for each line, [lines, 1], with `middle` as zero point: what is furthest from 0 becomes the grid's least."""
    furthest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1, keepdims=True), axis=1)
    return np.where(furthest == 0, 1, -furthest / middle(grid)).astype(np.float32)


def predicted_sqnr_db(signal: float, non_zero: int, scale: float) -> float:
    """Of the uniform model: each value is off by scale x U[-1/2, 1/2], of variance scale^2 / 12; zeros are exact.

    `signal` is the sum of squares, `non_zero` how many values are not 0.
    """
    return sqnr_db(signal, non_zero * scale**2 / 12)


def sqnr_db(signal: float, noise: float) -> float:
    """Signal to quantization noise of two powers, or two sums of squares: within +-MOST_DB."""
    if noise == 0:
        return MOST_DB
    return float(np.clip(10 * log10(signal / noise), -MOST_DB, MOST_DB)) if signal else -MOST_DB
