"""One request's rows on their way through batcher and engine, and the one place where they are answered."""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

import numpy as np

from engines.engine import Array

if TYPE_CHECKING:
    from app.tracing import RequestSpan

Outputs = dict[str, Array]
Outcome = Outputs | Exception


Answer = Callable[["Request", Outcome], None]

PRIORITY_LEVELS = 3
"""What waits on a lower level goes first: 1 is urgent, 3 is for whatever can wait."""
NORMAL_PRIORITY = 2


class Request:
    """Named arrays that wait for their answer.

    Owned by the servable from `Servable.submit` until `settle`, which calls `answer` exactly once whatever
    happens: rows computed, engine failed, deadline over, client gone. Lives on the event loop's thread.
    """

    __slots__ = (
        "_answer",
        "_parts",
        "arrived",
        "compute_seconds",
        "deadline",
        "group",
        "inputs",
        "lane",
        "priority",
        "queue_seconds",
        "rows",
        "span",
        "taken_rows",
    )

    def __init__(
        self,
        inputs: Outputs,
        rows: int,
        group: Hashable,
        arrived: float,
        deadline: float,
        answer: Answer,
        span: "RequestSpan | None" = None,
    ) -> None:
        self.inputs = inputs
        self.rows = rows
        """Length along the batch axis; 1 for a model that is served unbatched."""
        self.group = group
        """Requests of one group can share a batch: the shapes behind the batch axis."""
        self.priority = NORMAL_PRIORITY
        self.lane = group
        """Where it waits: levels of one group do not mix, so that no urgent request waits in a batch of others."""
        self.arrived = arrived
        self.deadline = deadline
        self.span = span
        """Of its trace, which the batches link to; None where nothing is traced."""
        self.queue_seconds = 0.0
        self.compute_seconds = 0.0
        self.taken_rows = 0
        """How many rows the batcher has given to batches; below `rows` only while a large request is split."""
        self._parts: dict[int, Outputs] | None = None
        self._answer: Answer | None = answer

    def prioritise(self, level: int) -> None:
        """Put it on another level than the normal one; before it is submitted."""
        self.priority = level
        self.lane = level, self.group  # a number is part of no group, so this is the lane of no other

    @property
    def settled(self) -> bool:
        """Whether the request is answered; what is computed for it then is in vain."""
        return self._answer is None

    def settle(self, outcome: Outcome) -> bool:
        """Answer the request unless it is answered already; says whether this call did it."""
        answer = self._answer
        if answer is None:
            return False
        self._answer = None  # whoever waited holds the request too: no cycle is left for the collector
        answer(self, outcome)
        return True

    def settle_part(self, start: int, stop: int, outcome: Outcome) -> None:
        """Take the outcome of rows `start:stop`; the last missing part settles the request, a failed one at once."""
        if isinstance(outcome, Exception) or stop - start == self.rows:
            self.settle(outcome)
            return
        parts = self._parts = self._parts or {}
        parts[start] = outcome
        if sum(len(next(iter(part.values()))) for part in parts.values()) == self.rows:
            ordered = [parts[start] for start in sorted(parts)]
            self.settle({name: np.concatenate([part[name] for part in ordered]) for name in outcome})
