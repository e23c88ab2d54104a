"""How far a build is."""

from hypothesis import given
from hypothesis import strategies as st

from engines.tensorrt.phases import Phases


def test_a_step_may_be_a_phase_of_its_own() -> None:
    phases = Phases()
    assert (phases.doing, phases.share) == ("", 0.0)
    phases.start("Building engine", None, 4)
    phases.step("Building engine", 0)
    assert (phases.doing, phases.share) == ("building engine", 0.25)
    phases.start("Timing tactics", "Building engine", 2)
    assert (phases.doing, phases.share) == ("timing tactics", 0.25)
    phases.step("Timing tactics", 0)
    assert phases.share == 0.375
    phases.step("Timing tactics", 1)
    assert phases.share == 0.5
    phases.step("Building engine", 1)
    assert (phases.doing, phases.share) == ("building engine", 0.5)
    phases.step("Building engine", 3)
    assert phases.share == 1.0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6), st.booleans()), max_size=40))
def test_the_share_stays_between_nothing_and_all(told: list[tuple[int, int, bool]]) -> None:
    phases = Phases()
    phases.start("0", None, 4)
    for phase, number, starts in told:
        if starts:
            phases.start(str(phase + 1), str(phase), number)
        elif str(phase) in phases._steps:
            phases.step(str(phase), number)
        assert 0.0 <= phases.share <= 1.0
