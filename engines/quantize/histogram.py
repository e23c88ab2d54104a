"""Where to cut a distribution off, so that the values that are left get finer steps.

A histogram counts absolute values, in bins of equal width from 0 on.
"""

import numpy as np

from engines.engine import Array

BINS = 2048
_LEVELS = 128  # of INT8 on either side of 0
_STRIDE = 8  # bins between two ends that are tried


def percentile_bins(counts: Array, percentile: float) -> int:
    """The fewest bins that hold so many percent of the values; all where there are none."""
    held = np.cumsum(counts)
    return int(np.searchsorted(held, held[-1] * percentile / 100)) + 1 if held[-1] else len(counts)


def least_divergent_bins(counts: Array) -> int:
    """The bins which, rounded to 128 levels, lose the least information: by the Kullback-Leibler divergence.

    All where there are no values. Source: Migacz, 8-bit inference with TensorRT (GTC 2017).
    """
    ends = range(_LEVELS, len(counts) + 1, _STRIDE)
    return min(ends, key=lambda end: (_divergence(counts, end), -end))


def _divergence(counts: Array, end: int) -> float:
    """Of the first bins, with all that lies beyond in the last, from the same spread evenly over each level."""
    kept = counts[:end].astype(np.float64)
    is_held = kept > 0
    level = np.arange(end) * _LEVELS // end
    each = np.bincount(level, kept, _LEVELS) / np.maximum(np.bincount(level, is_held, _LEVELS), 1)
    rounded = np.where(is_held, each[level], 0.0)
    kept[-1] += counts[end:].sum()
    if kept[-1] and not rounded[-1]:
        return np.inf
    p, q = kept[is_held] / max(kept.sum(), 1.0), rounded[is_held] / max(rounded.sum(), 1.0)
    return float((p * np.log(p / q)).sum())
