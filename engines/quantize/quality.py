"""How a variant answers beside its source, on the evaluation rows as they stream by."""

import numpy as np

from engines.engine import Array
from engines.quantize.answers import Answers
from engines.quantize.float_errors import FloatErrors, is_float
from engines.quantize.metrics import read_metric, same_top
from engines.quantize.report import Quality
from engines.quantize.rows import Rows
from engines.quantize.scores import scores_of
from engines.quantize.statistics import broken_and_fixed, paired_drop

_BATCH_ROWS = 8


def compare(source: Answers, variant: Answers, rows: Rows, metric: str, seed: int) -> Quality:
    """Run both over all rows. `metric` is a name as `read_metric` knows.

    Raises DataError, what a run raises, and QuantizeError for a variant that answers infinity or NaN on its own.
    """
    values = read_metric(metric, source.signature, rows.has_labels)
    scores = scores_of(source.signature)
    has_floats = any(is_float(spec.dtype) for spec in source.signature.outputs)
    errors = FloatErrors()
    pairs: list[tuple[Array, Array]] = []
    agreements: list[Array] = []
    for inputs, labels in rows.batches(_BATCH_ROWS):
        expected, found = source.answer(inputs), variant.answer(inputs)
        pairs.append(values(expected, found, labels))
        if scores is not None:
            agreements.append(same_top(expected[scores], found[scores]))
        if has_floats:
            errors.add(expected, found)
    before, after = (np.concatenate(side) for side in zip(*pairs, strict=True))
    binary = np.isin(before, (0, 1)).all() and np.isin(after, (0, 1)).all()
    broken, fixed = broken_and_fixed(before, after) if binary else (None, None)
    return Quality(
        rows=len(before),
        metric=metric,
        source=float(before.mean()),
        variant=float(after.mean()),
        drop=paired_drop(before, after, seed),
        broken=broken,
        fixed=fixed,
        agreement=float(np.concatenate(agreements).mean()) if agreements else None,
        cosine=errors.cosine,
        max_error=errors.largest,
        sqnr_db=errors.sqnr_db,
    )
