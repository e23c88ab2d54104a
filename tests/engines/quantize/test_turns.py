"""Measuring by turns, on a clock that the test moves."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.quantize.turns import by_turns, timed


class Machine:
    """Runs take as long as told, and longer while others use the machine too."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slower = 1.0
        self.order: list[str] = []

    def clock(self) -> float:
        return self.now

    def run(self, name: str, seconds: float) -> Callable[[], None]:
        def run() -> None:
            self.order.append(name)
            self.now += seconds * self.slower

        return run


def ratio(machine: Machine, source: float, variant: float, budget: float = 0.0) -> float:
    turns = (timed(machine.run(name, seconds), machine.clock) for name, seconds in (("s", source), ("v", variant)))
    return by_turns(*turns, budget, machine.clock).ratio


@given(st.floats(1e-5, 2), st.floats(1e-5, 2))
def test_the_ratio_is_that_of_the_times(source: float, variant: float) -> None:
    assert ratio(Machine(), source, variant) == pytest.approx(variant / source)


def test_slow_ones_run_three_times_between_runs_of_the_source() -> None:
    machine = Machine()
    ratio(machine, 1.0, 1.0)
    assert "".join(machine.order) == "ss" + "vv" + "svsvsvs"  # to warm up, then the rounds


def test_what_takes_less_runs_once_before_it_is_timed() -> None:
    machine = Machine()
    ratio(machine, 0.05, 0.05)
    assert "".join(machine.order) == "ss" + "vv" + "ss" + "vvss" * 3


def test_the_budget_is_used_and_no_more() -> None:
    machine = Machine()
    ratio(machine, 1.0, 1.0, budget=20)
    assert 24 <= machine.now <= 26  # with what warms up


def test_a_machine_that_slows_down_evenly_changes_no_ratio() -> None:
    machine = Machine()

    def turn(name: str, seconds: float) -> Callable[[], list[float]]:
        def measured() -> list[float]:
            machine.slower += 0.1
            started = machine.now
            machine.run(name, seconds)()
            return [machine.now - started]

        return measured

    assert by_turns(turn("s", 2.0), turn("v", 1.0), 0.0, machine.clock).ratio == pytest.approx(0.5)


def test_short_runs_share_a_turn() -> None:
    machine = Machine()
    turn = timed(machine.run("s", 0.001), machine.clock)
    assert turn() == [pytest.approx(0.001)] * len(turn())
    assert 8 <= len(turn()) <= 10
