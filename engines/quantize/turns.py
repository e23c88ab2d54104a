"""Two things measured by turns: source, variant, source, variant, ..., source.

A machine that others use too is faster and slower by the minute; what runs by turns is slowed alike, so ratios hold
where times do not.
"""

from collections.abc import Callable
from statistics import mean, median
from typing import NamedTuple

Clock = Callable[[], float]
Turn = Callable[[], list[float]]
"""Measures for a moment; gives what was measured."""

_LEAST_ROUNDS = 3
_BLOCK_SECONDS = 0.01
_MOST_RUNS = 50  # in a block
_SLOW_SECONDS = 0.1  # Where a run takes longer, filling the caches again is a small part of it.


class Turns(NamedTuple):
    """All values of both, and the median over the rounds of variant / mean of the source before and after it."""

    source: list[float]
    variant: list[float]
    ratio: float


def by_turns(source: Turn, variant: Turn, budget_seconds: float, clock: Clock) -> Turns:
    """Rounds until the budget is used, three at least."""
    end = clock() + budget_seconds
    before = source()
    turns = Turns(list(before), [], 1.0)
    ratios: list[float] = []
    while len(ratios) < _LEAST_ROUNDS or clock() < end:
        own, after = variant(), source()
        turns.source.extend(after)
        turns.variant.extend(own)
        ratios.append(median(own) / mean([median(before), median(after)]))
        before = after
    return turns._replace(ratio=median(ratios))


def timed(run: Callable[[], object], clock: Clock) -> Turn:
    """Seconds of single runs: as many as fit a hundredth of a second, one at least. Warms up, now and in each turn."""
    run()  # allocates
    seconds = _seconds(run, clock)
    runs = max(1, min(_MOST_RUNS, int(_BLOCK_SECONDS / max(seconds, 1e-9))))

    def turn() -> list[float]:
        if seconds < _SLOW_SECONDS:
            run()  # what the other one left in the caches is not this one's cost
        return [_seconds(run, clock) for _ in range(runs)]

    return turn


def _seconds(run: Callable[[], object], clock: Clock) -> float:
    started = clock()
    run()
    return clock() - started
