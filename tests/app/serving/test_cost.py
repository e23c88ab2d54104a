"""What batches are believed to cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.serving.cost import LOOP_BOUND_SECONDS, MOST_GROUPS, CostTable, worth_joining

seconds = st.floats(1e-6, 10.0)


def test_what_was_never_seen_goes_to_a_thread() -> None:
    cost = CostTable()
    assert cost.expected("g", 1) is None
    assert not cost.runs_on_loop("g", 1)
    assert cost.by_rows() == {}


def test_the_bound_decides_by_group_and_size() -> None:
    cost = CostTable()
    cost.observe("g", 1, LOOP_BOUND_SECONDS / 2)
    cost.observe("g", 4, LOOP_BOUND_SECONDS)
    assert cost.runs_on_loop("g", 1)
    assert not cost.runs_on_loop("g", 4)
    assert not cost.runs_on_loop("g", 2), "another size was not seen yet"
    assert not cost.runs_on_loop("other", 1), "another shape was not seen yet"


def test_sizes_of_one_power_of_two_share_what_is_known() -> None:
    cost = CostTable()
    cost.observe("g", 4, 1.0)
    assert [cost.expected("g", rows) for rows in (3, 4, 7, 8)] == [None, 1.0, 1.0, None]
    assert cost.by_rows() == {4: 1.0}


@given(st.lists(seconds, min_size=1, max_size=30))
def test_the_estimate_stays_among_what_was_measured(measured: list[float]) -> None:
    cost = CostTable()
    for value in measured:
        cost.observe("g", 1, value)
    expected = cost.expected("g", 1)
    assert expected is not None
    assert min(measured) * 0.999999 <= expected <= max(measured) * 1.000001


@given(seconds, seconds)
def test_the_estimate_follows_what_stays(before: float, after: float) -> None:
    cost = CostTable()
    cost.observe("g", 1, before)
    for _ in range(1000):
        cost.observe("g", 1, after)
    assert cost.expected("g", 1) == pytest.approx(after, rel=0.05)


def test_one_disturbed_run_sends_no_cheap_model_to_a_thread() -> None:
    cost = CostTable()
    cost.observe("g", 1, LOOP_BOUND_SECONDS / 10)
    cost.observe("g", 1, LOOP_BOUND_SECONDS * 10)
    assert cost.runs_on_loop("g", 1)


def test_the_memory_of_shapes_is_bounded() -> None:
    cost = CostTable()
    for group in range(3 * MOST_GROUPS):
        cost.observe(group, 1, 1.0)
    known = [group for group in range(3 * MOST_GROUPS) if cost.expected(group, 1) is not None]
    assert len(known) == MOST_GROUPS
    assert known[-1] == 3 * MOST_GROUPS - 1


def test_a_model_whose_cost_depends_on_its_values_leaves_the_loop_for_good() -> None:
    cost = CostTable()
    cost.observe("g", 1, LOOP_BOUND_SECONDS / 10)
    cost.overran()
    for _ in range(1000):
        cost.observe("g", 1, LOOP_BOUND_SECONDS / 10)
    assert not cost.runs_on_loop("g", 1)


@pytest.mark.parametrize(
    ("milliseconds_a_row", "most_rows", "wanted"),
    [
        ([0.138, 0.131, 0.126, 0.125, 0.125], 16, 4),  # the digits model
        ([20.5, 20.1, 20.0, 19.8, 19.7], 64, 4),  # no step is worth 2 %, together they are
        ([75.0, 75.0, 76.0], 64, 1),
        ([75.0], 1, 1),
        ([8.0, 4.0, 2.0, 1.0], 15, 15),  # larger than 8 was not measured, and may be better still
        ([8.0, 4.0, 2.0, 1.0], 64, 8),  # larger ones take too long
        ([0.02, 0.01, 0.01, 0.01], 64, 64),  # none keeps anybody waiting
    ],
)
def test_as_few_rows_join_as_are_nearly_the_cheapest(
    milliseconds_a_row: list[float], most_rows: int, wanted: int
) -> None:
    seconds = {1 << i: (1 << i) * each / 1000 for i, each in enumerate(milliseconds_a_row)}
    assert worth_joining(seconds, most_rows) == wanted
