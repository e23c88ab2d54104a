"""One request is answered once, and its parts come together in order."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Cancelled
from app.serving.request import Outcome, Request
from engines.errors import RunError


def request(rows: int, answers: list[tuple[Request, Outcome]]) -> Request:
    return Request({}, rows, "g", 0.0, 1.0, lambda request, outcome: answers.append((request, outcome)))


def test_the_first_outcome_is_the_answer() -> None:
    answers: list[tuple[Request, Outcome]] = []
    one = request(1, answers)
    gone = Cancelled("gone")
    assert not one.settled
    assert one.settle(gone)
    assert not one.settle({"y": np.zeros(1)})
    one.settle_part(0, 1, {"y": np.zeros(1)})
    assert one.settled
    assert answers == [(one, gone)]


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_a_request_that_was_not_split_gets_its_outputs_as_they_are(rows: int) -> None:
    answers: list[tuple[Request, Outcome]] = []
    outputs = {"y": np.zeros(rows)}
    request(rows, answers).settle_part(0, rows, outputs)
    assert answers[0][1] is outputs


@given(
    st.integers(2, 12).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(1, n - 1), min_size=1))), st.data()
)
def test_parts_are_joined_in_the_order_of_the_rows(plan: tuple[int, set[int]], data: st.DataObject) -> None:
    rows, cuts = plan
    answers: list[tuple[Request, Outcome]] = []
    split = request(rows, answers)
    edges = [0, *sorted(cuts), rows]
    parts = list(pairwise(edges))
    for start, stop in data.draw(st.permutations(parts)):
        assert not answers
        split.settle_part(start, stop, {"y": np.arange(start, stop), "z": np.arange(start, stop)[:, None] * 2})
    ((_, outcome),) = answers
    assert isinstance(outcome, dict)
    assert outcome["y"].tolist() == list(range(rows))
    assert outcome["z"].tolist() == [[2 * row] for row in range(rows)]


def test_a_failed_part_fails_the_request_at_once() -> None:
    answers: list[tuple[Request, Outcome]] = []
    split = request(3, answers)
    error = RunError("no")
    split.settle_part(0, 1, {"y": np.zeros(1)})
    split.settle_part(1, 2, error)
    split.settle_part(2, 3, {"y": np.zeros(1)})
    assert answers == [(split, error)]
