"""How fast a variant is beside its source: by turns in one run, each as it would be served."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import NamedTuple

import numpy as np

from engines.engine import Arrays, Engine, Runner
from engines.machine import describe, fingerprint
from engines.measure import Split, runs_per_second, splits
from engines.quantize.report import Pace, Speed, Timing
from engines.quantize.rows import Rows
from engines.quantize.turns import Clock, Turn, Turns, by_turns, timed
from engines.signature import Signature

_BATCH_ROWS = (1, 8, 32)
_WORTH = 1.03  # A larger batch must give so many times the rows a second for a still larger one to be tried.
_LATENCY, _SEARCH, _LOAD = 0.2, 0.3, 0.3  # shares of the budget: each latency, the best load of both, both loads


@dataclass(frozen=True, slots=True)
class Contender:
    """One of the two, as it would be served."""

    open: Callable[[Split], Engine]
    signature: Signature
    most_rows: int
    """In a batch; 1 where rows may not share one."""

    @contextmanager
    def runners(self, split: Split) -> Iterator[list[Runner]]:
        """Opened for the split, and closed in the end."""
        engine = self.open(split)
        try:
            yield [engine.runner() for _ in range(split.instances)]
        finally:
            engine.close()

    def inputs(self, rows: Arrays, count: int) -> Arrays:
        """The first `count` rows, as the model takes them."""
        if self.signature.batch_axis is None:
            return {name: np.asarray(array[0]) for name, array in rows.items()}
        return {name: array[:count] for name, array in rows.items()}


def compare_speed(
    source: Contender, variant: Contender, rows: Rows, cores: int, budget_seconds: float, clock: Clock
) -> Speed:
    """Measure for about `budget_seconds`, longer where three rounds take longer. Raises what opening and running raise.

    Latencies with one thread; the load with all cores, of each in the split and batch size that suit it best.
    """
    some = _some_rows(rows)
    lone = _latencies(source, variant, some, 1, budget_seconds * _LATENCY, clock)
    may_share = min(source.most_rows, variant.most_rows) >= 8
    eight = _latencies(source, variant, some, 8, budget_seconds * _LATENCY, clock) if may_share else None
    load = _loads(source, variant, some, cores, budget_seconds, clock)
    return Speed(
        describe(),
        fingerprint(),
        Pace(_timing(lone.source), _timing(eight.source) if eight else None, median(load.source)),
        Pace(_timing(lone.variant), _timing(eight.variant) if eight else None, median(load.variant)),
        1 / lone.ratio,
        1 / eight.ratio if eight else None,
        load.ratio,
    )


def _some_rows(rows: Rows) -> Arrays:
    """As many rows as the largest batch has, repeated where the set is smaller."""
    most_rows = max(_BATCH_ROWS)
    inputs = next(iter(rows.batches(most_rows))).inputs
    return {name: array[np.arange(most_rows) % len(array)] for name, array in inputs.items()}


def _latencies(
    source: Contender, variant: Contender, rows: Arrays, count: int, budget_seconds: float, clock: Clock
) -> Turns:
    with source.runners(Split(1, 1)) as (one,), variant.runners(Split(1, 1)) as (other,):
        return by_turns(
            timed(partial(one.run, source.inputs(rows, count)), clock),
            timed(partial(other.run, variant.inputs(rows, count)), clock),
            budget_seconds,
            clock,
        )


def _timing(seconds: list[float]) -> Timing:
    low, middle, high = (float(value) * 1000 for value in np.quantile(seconds, [0.25, 0.5, 0.75]))
    return Timing(middle, low, high)


class _Load(NamedTuple):
    """One way to keep all cores busy."""

    rows_per_second: float
    split: Split
    rows: int


def _loads(
    source: Contender, variant: Contender, rows: Arrays, cores: int, budget_seconds: float, clock: Clock
) -> Turns:
    """Rows a second of both, each at its best."""
    slot_seconds = budget_seconds * _SEARCH / (2 * len(splits(cores)) * len(_BATCH_ROWS))
    first, second = (_best_load(side, rows, cores, slot_seconds, clock) for side in (source, variant))
    turn_seconds = budget_seconds * _LOAD / 7  # of three rounds
    with source.runners(first.split) as some, variant.runners(second.split) as others:
        return by_turns(
            _loaded(some, source.inputs(rows, first.rows), first.rows, turn_seconds, clock),
            _loaded(others, variant.inputs(rows, second.rows), second.rows, turn_seconds, clock),
            0.0,
            clock,
        )


def _best_load(side: Contender, rows: Arrays, cores: int, slot_seconds: float, clock: Clock) -> _Load:
    tried: list[_Load] = []
    for split in splits(cores):
        with side.runners(split) as runners:
            best = 0.0
            for count in (size for size in _BATCH_ROWS if size <= side.most_rows):
                (rate,) = _loaded(runners, side.inputs(rows, count), count, slot_seconds, clock)()
                tried.append(_Load(rate, split, count))
                if rate < best * _WORTH:
                    break
                best = rate
    return max(tried, key=lambda load: load.rows_per_second)


def _loaded(runners: list[Runner], inputs: Arrays, count: int, seconds: float, clock: Clock) -> Turn:
    """Rows a second with all runners busy."""
    return lambda: [count * runs_per_second(runners, inputs, seconds, clock)]
