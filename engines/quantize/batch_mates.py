"""Whether a variant's answers depend on batch mates, on real rows: decides whether it is measured in batches."""

from engines.batch_mates import TOLERANCE, changes
from engines.engine import Engine, Runner
from engines.quantize.report import BatchMates
from engines.quantize.rows import Rows

_BATCH_ROWS = 8
_BATCHES = 2


def batch_mates(engine: Engine, runner: Runner, rows: Rows) -> BatchMates:
    """Compare the first rows alone and together, on one of the engine's runners.

    What has no batch axis runs no batches, and depends on nobody. Raises DataError, and what a run raises.
    """
    if engine.signature.batch_axis is None or engine.max_rows == 1:
        return BatchMates(invariant=True, difference=0.0, tolerance=TOLERANCE, batched=False)
    most_rows = min(_BATCH_ROWS, engine.max_rows or _BATCH_ROWS)
    some = (batch.inputs for batch, _ in zip(rows.batches(most_rows), range(_BATCHES), strict=False))
    largest = max((change.difference for inputs in some for change in changes(runner, inputs)), default=0.0)
    invariant = largest <= TOLERANCE
    return BatchMates(invariant, min(largest, 1.0), TOLERANCE, batched=invariant)
