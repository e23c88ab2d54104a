"""What a job may become, as a table of all situations."""

from itertools import product

import pytest

from app.control.job_states import TRANSITIONS, Event, State, after
from app.errors import WrongMoment

ALLOWED = """
queued start running
queued cancel cancelled
running finish done
running fail failed
running cancel cancelled
failed retry queued
cancelled retry queued
"""
EXPECTED = {
    (State(state), Event(event)): State(then) for state, event, then in map(str.split, ALLOWED.split("\n")[1:-1])
}


@pytest.mark.parametrize(("state", "event"), [*product(State, Event)])
def test_every_event_in_every_state(state: State, event: Event) -> None:
    if (state, event) in EXPECTED:
        assert after(state, event) is EXPECTED[state, event]
    else:
        with pytest.raises(WrongMoment, match=f"the job is {state}; to {event} it, it must be "):
            after(state, event)


def test_every_state_but_the_first_is_reached_and_only_done_is_for_good() -> None:
    assert {*TRANSITIONS.values()} == {*State}
    assert {state for state, _ in TRANSITIONS} == {*State} - {State.DONE}
