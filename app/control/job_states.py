"""What a job can be, and what it becomes when something happens: a pure table."""

from enum import StrEnum

from app.errors import WrongMoment


class State(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens by itself."""
        return self not in (State.QUEUED, State.RUNNING)


class Event(StrEnum):
    """What happens to a job."""

    START = "start"
    FINISH = "finish"
    FAIL = "fail"
    CANCEL = "cancel"
    RETRY = "retry"


TRANSITIONS = {
    (State.QUEUED, Event.START): State.RUNNING,
    (State.QUEUED, Event.CANCEL): State.CANCELLED,
    (State.RUNNING, Event.FINISH): State.DONE,
    (State.RUNNING, Event.FAIL): State.FAILED,
    (State.RUNNING, Event.CANCEL): State.CANCELLED,
    (State.FAILED, Event.RETRY): State.QUEUED,
    (State.CANCELLED, Event.RETRY): State.QUEUED,
}
"""All that may happen. What is done stays done."""


def after(state: State, event: Event) -> State:
    """The next state. Raises WrongMoment where the event cannot happen now."""
    if (state, event) not in TRANSITIONS:
        possible = " or ".join(one.value for one, what in TRANSITIONS if what is event)
        raise WrongMoment(f"the job is {state}; to {event} it, it must be {possible}")
    return TRANSITIONS[state, event]
