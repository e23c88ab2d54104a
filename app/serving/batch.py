"""A batch through an engine: join the members' rows, run once, give each member its own rows back."""

from collections.abc import Hashable, Sequence
from itertools import accumulate, pairwise
from typing import Protocol

import numpy as np

from app.serving.batcher import Batch, Member
from app.serving.request import Outcome, Outputs
from engines.engine import Arrays, Runner
from engines.errors import RunError


def group_of(inputs: Arrays) -> Hashable:
    """What requests have in common whose rows fit into one batch: the shapes behind the batch axis."""
    shapes = tuple(array.shape[1:] for array in inputs.values())
    return shapes[0] if len(shapes) == 1 else shapes


class Form(Protocol):
    """How the rows of several requests become one run, and its outputs theirs again."""

    def join(self, members: Sequence[Member]) -> Outputs:
        """The members' rows, one after the other."""
        ...

    def split(self, members: Sequence[Member], rows: int, outputs: Outputs) -> list[Outcome]:
        """The outputs of each member, in the members' order."""
        ...


class Rows:
    """Along axis 0."""

    def join(self, members: Sequence[Member]) -> Outputs:
        if len(members) == 1 and members[0].stop - members[0].start == members[0].request.rows:
            return members[0].request.inputs
        return {
            name: np.concatenate(
                [r.inputs[name] if stop - start == r.rows else r.inputs[name][start:stop] for r, start, stop in members]
            )
            for name in members[0].request.inputs
        }

    def split(self, members: Sequence[Member], rows: int, outputs: Outputs) -> list[Outcome]:
        for name, array in outputs.items():
            if array.ndim == 0 or array.shape[0] != rows:
                raise RunError(
                    f"output '{name}' has shape {list(array.shape)} for {rows} rows: its signature promises "
                    "one entry a row along axis 0"
                )
        if len(members) == 1:
            return [outputs]
        bounds = pairwise(accumulate((stop - start for _, start, stop in members), initial=0))
        if len(outputs) == 1:  # the common one, told cheaply
            ((name, array),) = outputs.items()
            return [{name: array[start:stop]} for start, stop in bounds]
        return [{name: array[start:stop] for name, array in outputs.items()} for start, stop in bounds]


class Whole:
    """A model without a batch axis: every request runs alone, as it came."""

    def join(self, members: Sequence[Member]) -> Outputs:
        return members[0].request.inputs

    def split(self, members: Sequence[Member], rows: int, outputs: Outputs) -> list[Outcome]:
        return [outputs]


def run_batch(runner: Runner, batch: Batch, form: Form) -> list[tuple[Member, Outcome]]:
    """Run the members that still wait and return their outcomes; never raises.

    When a joined run fails, every member runs apart, so that one bad request does not fail its neighbours.
    """
    return _run([member for member in batch.members if not member.request.settled], runner, form)


def _run(members: Sequence[Member], runner: Runner, form: Form) -> list[tuple[Member, Outcome]]:
    if not members:
        return []
    rows = sum(member.stop - member.start for member in members)
    try:
        return list(zip(members, form.split(members, rows, runner.run(form.join(members))), strict=True))
    except Exception as error:  # noqa: BLE001  every error becomes an outcome
        if len(members) == 1:
            return [(members[0], error)]
    return [pair for member in members for pair in _run([member], runner, form)]
