"""Intervals of a paired drop against known cases and against what they promise."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.quantize.statistics import agresti_min, bootstrap, paired_drop, rows_needed


@pytest.mark.parametrize(
    ("broken", "fixed", "low", "high"),
    [(0, 0, -0.0036, 0.0036), (0, 1, -0.0070, 0.0033), (1, 0, -0.0033, 0.0070), (1, 1, -0.0063, 0.0063)],
)
def test_the_interval_of_540_rows(broken: int, fixed: int, low: float, high: float) -> None:
    drop = agresti_min(540, broken, fixed)
    assert drop.estimate == pytest.approx((broken - fixed) / 540)
    assert (drop.low, drop.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_the_interval_is_that_of_a_paired_difference_with_half_a_row_in_each_cell() -> None:
    cells = np.array([80, 11, 4, 5]) + 0.5  # both right, broken, fixed, both wrong
    shares = cells / cells.sum()
    centre = shares[1] - shares[2]
    half = 1.959964 * sqrt((shares[1] + shares[2] - centre**2) / cells.sum())
    drop = agresti_min(100, 11, 4)
    assert (drop.low, drop.high) == (pytest.approx(centre - half), pytest.approx(centre + half))


@pytest.mark.parametrize(
    ("max_drop", "broken", "fixed", "rows"),
    [(0.005, 0, 0, 390), (0.005, 1, 0, 753), (0.005, 1, 1, 677), (0.01, 0, 0, 194), (0.0, 0, 0, None)],
)
def test_the_rows_that_are_needed(max_drop: float, broken: int, fixed: int, rows: int | None) -> None:
    assert rows_needed(max_drop, broken, fixed) == rows


@given(st.floats(1e-4, 0.5), st.integers(0, 20), st.integers(0, 20))
def test_the_rows_that_are_needed_are_enough_and_no_more(max_drop: float, broken: int, fixed: int) -> None:
    rows = rows_needed(max_drop, broken, fixed)
    assert rows is not None
    assert agresti_min(rows, broken, fixed).high <= max_drop
    assert rows <= max(1, broken + fixed) or agresti_min(rows - 1, broken, fixed).high > max_drop


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=50))
def test_an_interval_holds_its_estimate_and_turns_with_the_sides(rows: list[tuple[bool, bool]]) -> None:
    source, variant = (np.array(side, np.float64) for side in zip(*rows, strict=True))
    drop, gain = paired_drop(source, variant, 0), paired_drop(variant, source, 0)
    assert -1 <= drop.low <= drop.high <= 1
    assert (drop.estimate, drop.low, drop.high) == pytest.approx((-gain.estimate, -gain.high, -gain.low))


def test_a_bootstrap_agrees_with_the_formula_where_both_apply() -> None:
    source = np.ones(1000)
    variant = source.copy()
    variant[:30] = 0
    drop, formula = bootstrap(source, variant, seed=0), agresti_min(1000, 30, 0)
    assert drop.estimate == formula.estimate
    assert (drop.low, drop.high) == (pytest.approx(formula.low, abs=2e-3), pytest.approx(formula.high, abs=2e-3))


def test_a_bootstrap_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for seed in range(100):
        source = random.normal(0, 1, 200)
        drop = bootstrap(source, source - random.normal(0.1, 0.3, 200), seed)
        covered += drop.low <= 0.1 <= drop.high
    assert 90 <= covered <= 100


def test_a_bootstrap_is_the_same_for_a_seed() -> None:
    source, variant = np.random.default_rng(0).uniform(size=(2, 50))
    assert bootstrap(source, variant, 3) == bootstrap(source, variant, 3)
    assert bootstrap(source, variant, 3) != bootstrap(source, variant, 4)


def test_few_rows_on_which_nothing_changed_prove_little() -> None:
    values = np.array([0.1, 0.5, 0.9])
    drop = bootstrap(values, values, 0)
    assert drop.estimate == 0
    assert drop.high > 0.1
