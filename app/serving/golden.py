"""Does a variant still answer as it did when it was made? Checked on its golden rows before it serves."""

from typing import NamedTuple

import numpy as np

from app.errors import AnswersDiffer
from engines.engine import Engine, Runner
from engines.errors import EngineError
from engines.quantize.answers import Answering
from engines.quantize.arithmetic import sqnr_db
from engines.quantize.float_errors import FloatErrors, float_pair, is_float
from engines.quantize.golden import GOLDEN_ROWS, Golden
from engines.samples import sample_inputs

# How much closer to its source the variant may have been on the rows of its report: those were others, and more.
_MARGIN_DB = 6.0
# Nothing needs to be closer than this: another processor sums float32 in another order.
_CLOSE_DB = 40.0
# How close a GPU must come to a processor with the same file: it rounds elsewhere, and what is wrong is not even near.
_SAME_FILE_DB = 20.0
# A single row may be that much further away than all of them together.
_ROW_MARGIN_DB = 10.0


class Reference(NamedTuple):
    """What a variant is checked against."""

    golden: Golden
    """Real rows, and what its source answers to them."""
    sqnr_db: float
    """How close to its source it was when it was made."""
    batched: bool
    """Whether it was found then that its rows may share batches."""

    @property
    def least_db(self) -> float:
        """How close it must be now."""
        return min(self.sqnr_db - _MARGIN_DB, _CLOSE_DB)


def made_up_reference(processor: Engine) -> Reference:
    """For a variant that has no golden rows: made-up ones, and what it answers to them on a processor.

    Raises what the engine raises.
    """
    signature = processor.signature
    batched = signature.batch_axis is not None
    rows = sample_inputs(signature, GOLDEN_ROWS, seed=0)
    if not batched:
        rows = {name: array[np.newaxis] for name, array in rows.items()}
    answers = Answering(processor.runner(), signature, batched).answer(rows)
    return Reference(Golden(dict(rows), answers), _SAME_FILE_DB + _MARGIN_DB, batched)


def batch_of(reference: Reference, most_rows: int) -> Golden:
    """The golden rows that one batch of a power of two holds, at most `most_rows`."""
    golden = reference.golden
    count = min(most_rows, len(next(iter(golden.inputs.values()))))
    rows = 1 << count.bit_length() - 1
    return Golden(*({name: array[:rows] for name, array in arrays.items()} for arrays in golden))


def check(engine: Engine, runner: Runner, reference: Reference, rows: Golden, *, batched: bool) -> None:
    """Run golden rows as they would be served: what `batch_of` gave in one batch, else all, one by one.

    Raises AnswersDiffer for a variant that is further from its source than when it was made; where the engine has
    prepared batch sizes, also for one that is so at any of them. Outputs that are not of floats are not compared: how
    often they may differ is the gate's affair.
    """
    try:
        found = Answering(runner, engine.signature, batched).answer(rows.inputs)
        if not any(is_float(spec.dtype) for spec in engine.signature.outputs):
            return
        errors = FloatErrors()
        errors.add(rows.outputs, found)
        if batched and engine.max_rows is not None:
            _check_places(runner, reference, engine.max_rows)
    except EngineError as error:
        raise AnswersDiffer(f"its golden rows cannot be run here: {error}") from None
    if errors.sqnr_db < reference.least_db:
        raise AnswersDiffer(
            f"on its golden rows it is {errors.sqnr_db:.1f} dB from its source, expected are {reference.least_db:.1f} "
            f"({reference.sqnr_db:.1f} when it was made): this machine computes it otherwise; quantize it here"
        )


def _check_places(runner: Runner, reference: Reference, most_rows: int) -> None:
    """An engine that prepares batch sizes has other kernels for each: golden rows in every place of every size."""
    count = len(next(iter(reference.golden.inputs.values())))
    for size in sorted({most_rows, *(1 << power for power in range(most_rows.bit_length()))}):
        picked = np.arange(size) % count
        rows, answers = ({name: array[picked] for name, array in arrays.items()} for arrays in reference.golden)
        expected, found = float_pair(answers, runner.run(rows))
        noise = ((expected - found) ** 2).sum(axis=1)
        place = int(noise.argmax())
        found_db = sqnr_db(float((expected**2).sum()) / size, float(noise[place]))
        least_db = reference.least_db - _ROW_MARGIN_DB
        if found_db < least_db:
            raise AnswersDiffer(
                f"in a batch of {size}, its answer to the golden row in place {place} is {found_db:.1f} dB from its "
                f"source, expected are {least_db:.1f}: the engine mixes rows up, or computes this size wrongly; serve "
                "another variant"
            )
