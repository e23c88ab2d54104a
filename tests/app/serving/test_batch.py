"""Joining and splitting: whoever shares a batch gets exactly its own rows, whatever happens to the others."""

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Cancelled
from app.serving.batch import Rows, Whole, group_of, run_batch
from app.serving.batcher import Batch, Batcher, Member
from app.serving.request import Outcome, Outputs, Request
from engines.engine import Arrays
from engines.errors import InputRefused, RunError

Answers = dict[Request, list[Outcome]]


class Doubling:
    """A hand-written runner, since only the joining is tested: doubles `x`, names each row, refuses negative values."""

    def __init__(self) -> None:
        self.rows_run: list[int] = []

    def run(self, inputs: Arrays) -> Outputs:
        self.rows_run.append(len(inputs["x"]))
        if (inputs["x"] < 0).any():
            raise InputRefused("negative")
        return {"y": inputs["x"] * 2, "name": np.array([f"row {i}" for i in inputs["id"]], object)}


class Fixed:
    """A hand-written runner that always gives these outputs."""

    def __init__(self, **outputs: np.ndarray[Any, Any]) -> None:
        self.outputs = outputs

    def run(self, inputs: Arrays) -> Outputs:
        return self.outputs


def waiting(answers: Answers, first: int, values: list[float]) -> Request:
    inputs = {"x": np.array(values).reshape(-1, 1), "id": np.arange(first, first + len(values))}
    return Request(inputs, len(values), "g", 0.0, 1e9, lambda request, outcome: answers[request].append(outcome))


def batch_of(*requests: Request) -> Batch:
    rows = sum(request.rows for request in requests)
    return Batch([Member(request, 0, request.rows) for request in requests], rows, "g", "idle")


values = st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0, -1.0]), max_size=9) | st.lists(st.just(5.0), max_size=9)
fates = st.sampled_from(["", "", "", "settled before", "settled between"])


@given(st.lists(st.tuples(values, fates), min_size=1, max_size=8), st.integers(1, 6))
def test_each_gets_its_own_rows_or_its_own_error(plan: list[tuple[list[float], str]], max_rows: int) -> None:
    answers: Answers = defaultdict(list)
    batcher = Batcher(max_rows, 1000)
    runner = Doubling()
    fate_of, first = {}, 0
    for row_values, fate in plan:
        request = waiting(answers, first, row_values)
        first += len(row_values)
        fate_of[request] = fate
        batcher.add(request)
        if fate == "settled before":
            request.settle(Cancelled("gone"))
    while (lane := batcher.ripe(0.0)) is not None:
        batch = batcher.take(lane, 0.0)
        outcomes = run_batch(runner, batch, Rows())
        for member, outcome in outcomes:
            if fate_of[member.request] == "settled between":
                member.request.settle(Cancelled("gone"))
            member.request.settle_part(member.start, member.stop, outcome)
    assert max(runner.rows_run, default=0) <= max_rows
    for request, fate in fate_of.items():
        (answer,) = answers[request]
        if fate:
            assert isinstance(answer, Cancelled)
        elif (request.inputs["x"] < 0).any():
            assert isinstance(answer, InputRefused)
        else:
            assert isinstance(answer, dict)
            assert np.array_equal(answer["y"], request.inputs["x"] * 2)
            assert answer["name"].tolist() == [f"row {i}" for i in request.inputs["id"]]


def test_what_is_settled_does_not_run() -> None:
    answers: Answers = defaultdict(list)
    runner = Doubling()
    gone, there = waiting(answers, 0, [1.0, 1.0]), waiting(answers, 2, [2.0])
    gone.settle(Cancelled("gone"))
    outcomes = run_batch(runner, batch_of(gone, there), Rows())
    assert [member.request for member, _ in outcomes] == [there]
    assert runner.rows_run == [1]
    assert run_batch(runner, batch_of(gone), Rows()) == []


def test_a_lone_request_is_not_copied() -> None:
    request = waiting(defaultdict(list), 0, [1.0, 2.0])
    assert Rows().join([Member(request, 0, 2)]) is request.inputs
    part = Rows().join([Member(request, 1, 2)])
    assert part["x"].tolist() == [[2.0]]


@pytest.mark.parametrize("wrong", [np.zeros((3, 1)), np.zeros((1, 1)), np.array(0.0)])
def test_an_output_of_the_wrong_length_is_nobodys_answer(wrong: np.ndarray[Any, Any]) -> None:
    answers: Answers = defaultdict(list)
    one, other = waiting(answers, 0, [1.0, 1.0]), waiting(answers, 2, [2.0, 2.0])
    right = np.zeros((4, 1))
    outcomes = run_batch(Fixed(right=right, y=wrong), batch_of(one, other), Rows())
    assert [member.request for member, _ in outcomes] == [one, other]
    for _, outcome in outcomes:
        assert isinstance(outcome, RunError)
        assert str(outcome).startswith(f"output 'right' has shape {list(right.shape)} for 2 rows")
    ((_, alone),) = run_batch(Fixed(y=wrong), batch_of(one), Rows())
    assert isinstance(alone, RunError)
    assert f"output 'y' has shape {list(wrong.shape)} for 2 rows" in str(alone)


def test_a_model_without_a_batch_axis_runs_each_request_as_it_came() -> None:
    scalar = np.array(7.0)
    request = Request({"x": np.zeros((5, 5))}, 1, None, 0.0, 1e9, lambda *_: None)
    ((member, outcome),) = run_batch(Fixed(y=scalar), batch_of(request), Whole())
    assert member.request is request
    assert outcome == {"y": scalar}


def test_the_group_is_what_lies_behind_the_batch_axis() -> None:
    def group(**shapes: tuple[int, ...]) -> object:
        return group_of({name: np.zeros(shape) for name, shape in shapes.items()})

    assert group(x=(1, 2, 3)) == group(x=(9, 2, 3)) != group(x=(9, 3, 2))
    assert group(x=(1, 2), y=(1,)) == group(x=(5, 2), y=(5,)) != group(x=(5, 2), y=(5, 1))
