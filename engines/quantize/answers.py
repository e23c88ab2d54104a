"""Runs rows through a variant as it would be served: in batches, or one by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engines.engine import Array, Arrays, Runner
from engines.signature import Signature


class Answers(Protocol):
    """A model that answers rows."""

    @property
    def signature(self) -> Signature:
        """The model's."""
        ...

    def answer(self, inputs: Arrays) -> dict[str, Array]:
        """Every output with one entry a row along axis 0. Raises what a run raises."""
        ...


@dataclass(frozen=True, slots=True)
class Answering:
    """One runner, and whether rows may share its batches; see `Answers`."""

    runner: Runner
    signature: Signature
    batched: bool

    def answer(self, inputs: Arrays) -> dict[str, Array]:
        if self.batched:
            return self.runner.run(inputs)
        alone = [self.runner.run(row) for row in rows_apart(inputs, self.signature)]
        return {spec.name: self._joined([one[spec.name] for one in alone]) for spec in self.signature.outputs}

    def _joined(self, rows: list[Array]) -> Array:
        """A model without batch axis has outputs without one, unless it fixes theirs to 1."""
        has_axis = self.signature.batch_axis is not None or all(row.shape[:1] == (1,) for row in rows)
        return np.concatenate(rows) if has_axis else np.stack(rows)


def as_taken(inputs: Arrays, signature: Signature) -> Iterator[Arrays]:
    """The rows as the model takes them: together, or one by one where it has no batch axis."""
    return rows_apart(inputs, signature) if signature.batch_axis is None else iter((inputs,))


def rows_apart(inputs: Arrays, signature: Signature) -> Iterator[Arrays]:
    """The rows one by one, each as the model takes it."""
    for position in range(len(next(iter(inputs.values())))):
        if signature.batch_axis is None:
            yield {name: np.asarray(array[position]) for name, array in inputs.items()}
        else:
            yield {name: array[position : position + 1] for name, array in inputs.items()}
