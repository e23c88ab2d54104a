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


@given(st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(0, 3), st.integers(0, 6)), max_size=40))
def test_the_share_stays_between_nothing_and_all(told: list[tuple[int, int | None, int]]) -> None:
    """Whatever is told, a phase within itself too."""
    phases = Phases()
    phases.start("0", None, 4)
    for phase, parent, number in told:
        if parent is not None:
            phases.start(str(phase), str(parent), number)
        else:
            phases.step(str(phase), number)
        assert 0.0 <= phases.share <= 1.0
