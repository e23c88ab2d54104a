"""Golden rows: some real rows and the source's answers, kept beside a variant to check it by when it is loaded."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engines.engine import Array
from engines.quantize.answers import Answering
from engines.quantize.fit import restored, storable
from engines.quantize.rows import Rows
from engines.signature import Signature, TensorSpec

GOLDEN_ROWS = 16


class Golden(NamedTuple):
    """Arrays with one entry a row along axis 0."""

    inputs: dict[str, Array]
    outputs: dict[str, Array]


def write_golden(path: Path, source: Answering, rows: Rows) -> None:
    """The first GOLDEN_ROWS rows, as one `.npz`. Raises DataError, and what a run raises."""
    inputs = next(iter(rows.batches(GOLDEN_ROWS))).inputs
    arrays = {f"input/{name}": array for name, array in inputs.items()}
    arrays |= {f"output/{name}": array for name, array in source.answer(inputs).items()}
    stored: dict[str, Any] = {name: storable(array) for name, array in arrays.items()}
    np.savez_compressed(path, **stored)


def read_golden(path: Path, signature: Signature) -> Golden:
    """Read back what `write_golden` wrote for a model of this signature. Raises ValueError, KeyError or OSError."""
    with np.load(path, allow_pickle=False) as stored:

        def read(kind: str, specs: tuple[TensorSpec, ...]) -> dict[str, Array]:
            return {spec.name: restored(stored[f"{kind}/{spec.name}"], spec.dtype) for spec in specs}

        return Golden(read("input", signature.inputs), read("output", signature.outputs))
