"""How much worse a variant answers, and how sure that is: paired, for both answered the same rows."""

from bisect import bisect_left
from math import sqrt

import numpy as np

from engines.engine import Array
from engines.quantize.report import Interval

CONFIDENCE = 0.95
_Z = 1.959963984540054  # of the normal distribution, two-sided
_RESAMPLES = 2000
_MOST_ROWS = 10**9


def paired_drop(source: Array, variant: Array, seed: int) -> Interval:
    """Of the mean over rows, from one value a row: by `agresti_min` where all are 0 or 1, by `bootstrap` else."""
    if np.isin(source, (0, 1)).all() and np.isin(variant, (0, 1)).all():
        return agresti_min(len(source), *broken_and_fixed(source, variant))
    return bootstrap(source, variant, seed)


def broken_and_fixed(source: Array, variant: Array) -> tuple[int, int]:
    """How many rows only the source gets right, and how many only the variant; values are 0 and 1."""
    return int((source > variant).sum()), int((source < variant).sum())


def agresti_min(rows: int, broken: int, fixed: int) -> Interval:
    """Of a paired difference of shares, half a row added to each of the four cells.

    Agresti and Min, Statistics in Medicine 24 (2005) 729-740. The estimate is the plain one; the interval lies around
    one that is drawn towards 0.
    """
    total = rows + 2
    centre = (broken - fixed) / total
    half = _Z * sqrt(broken + fixed + 1 - (broken - fixed) ** 2 / total) / total
    return Interval((broken - fixed) / rows, max(-1.0, centre - half), min(1.0, centre + half), CONFIDENCE)


def rows_needed(max_drop: float, broken: int = 0, fixed: int = 0) -> int | None:
    """The fewest rows on which these broken and fixed ones leave the interval's end inside `max_drop`.

    None for a `max_drop` that no set can show.
    """
    at_least = max(1, broken + fixed)
    counts = range(at_least, _MOST_ROWS)
    found = bisect_left(counts, True, key=lambda rows: agresti_min(rows, broken, fixed).high <= max_drop)
    return counts[found] if found < len(counts) else None


def bootstrap(source: Array, variant: Array, seed: int) -> Interval:
    """Of a paired difference of means: percentiles over rows drawn again and again.

    Two made-up rows differ by the spread of the values, one up and one down: a few rows on which nothing changed do not
    prove that nothing can. They weigh as much as the half rows of `agresti_min`.
    """
    drops = np.asarray(source, np.float64) - np.asarray(variant, np.float64)
    doubt = np.ptp(np.concatenate([source, variant])) / sqrt(2)
    drawn_from = np.concatenate([drops, [doubt, -doubt]])
    random = np.random.default_rng(seed)
    count = len(drawn_from)
    means = [drawn_from[random.integers(0, count, count)].mean() for _ in range(_RESAMPLES)]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(drops.mean()), float(low), float(high), CONFIDENCE)
