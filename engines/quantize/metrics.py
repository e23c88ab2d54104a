"""How good an answer is: one value a row for the source and one for the variant, the more the better."""

from collections.abc import Callable

import numpy as np

from engines.engine import Array, Arrays
from engines.errors import DataError
from engines.quantize.float_errors import cosines, float_pair, is_float
from engines.quantize.user_code import load_function
from engines.signature import Signature, TensorSpec

Labels = Array | None
Metric = Callable[[Arrays, Arrays, Labels], tuple[Array, Array]]
"""(the source's outputs, the variant's, labels) -> (the source's values, the variant's), one a row."""


def choose_metric(wanted: str | None, signature: Signature, has_labels: bool) -> tuple[str, Metric]:
    """Its name in the report, and the metric.

    `wanted` is one of those names, `module:function`, or None: accuracy with labels, top-1 agreement with the source
    without, and where no output holds scores, the cosine between the outputs. `function(outputs, labels)` gives one
    value a row. Raises DataError.
    """
    scores = scores_of(signature)
    name = wanted or (("accuracy" if has_labels else "agreement") if scores else "cosine")
    if ":" in name:
        return name, _users(name)
    if name not in ("accuracy", "agreement", "cosine"):
        raise DataError(f"metric {name!r} is not known; there are accuracy, agreement, cosine and module:function")
    if name == "cosine":
        return name, _cosine
    if scores is None:
        raise DataError(f"{name} needs an output of scores, [rows, classes]; there is none: give module:function")
    if name == "agreement":
        return name, lambda source, variant, _: _agreement(source[scores], variant[scores])
    if not has_labels:
        raise DataError("accuracy needs labels, and the evaluation rows have none; add an entry 'labels'")
    return name, lambda source, variant, labels: (
        _accuracy(source[scores], labels),
        _accuracy(variant[scores], labels),
    )


def scores_of(signature: Signature) -> str | None:
    """The first output of floats that holds two scores a row or more."""
    return next((spec.name for spec in signature.outputs if _is_scores(spec, signature.batch_axis is not None)), None)


def _is_scores(spec: TensorSpec, has_batch_axis: bool) -> bool:
    if spec.shape is None or not is_float(spec.dtype):
        return False
    row = spec.shape[1:] if has_batch_axis or (len(spec.shape) == 2 and spec.shape[0] == 1) else spec.shape
    return len(row) == 1 and row[0] not in (0, 1)


def same_top(source: Array, variant: Array) -> Array:
    """1 for each row with the same highest score, 0 for others."""
    return np.asarray(source.argmax(axis=1) == variant.argmax(axis=1), np.float64)


def _agreement(source: Array, variant: Array) -> tuple[Array, Array]:
    return np.ones(len(source)), same_top(source, variant)


def _accuracy(scores: Array, labels: Labels) -> Array:
    assert labels is not None
    if labels.dtype.kind not in "iu" or labels.size != len(scores):
        raise DataError(
            f"labels are {labels.dtype} of shape {list(labels.shape)} for {len(scores)} rows; accuracy needs one "
            "whole number a row, the class that is true: change them, or give a metric module:function"
        )
    classes = labels.reshape(-1)
    if classes.min() < 0 or classes.max() >= scores.shape[1]:
        raise DataError(
            f"labels reach from {classes.min()} to {classes.max()}, the model has the classes 0 to "
            f"{scores.shape[1] - 1}; number them as the model does"
        )
    return np.asarray(scores.argmax(axis=1) == classes, np.float64)


def _cosine(source: Arrays, variant: Arrays, _: Labels) -> tuple[Array, Array]:
    values = cosines(*float_pair(source, variant))
    return np.ones(len(values)), values


def _users(name: str) -> Metric:
    function = load_function(name)

    def values(outputs: Arrays, labels: Labels) -> Array:
        rows = len(next(iter(outputs.values())))
        try:
            found = np.asarray(function(outputs, labels), np.float64)
        except Exception as error:
            raise DataError(f"metric {name} failed with {type(error).__name__}: {error}") from error
        if found.shape != (rows,) or not np.isfinite(found).all():
            raise DataError(
                f"metric {name} gave shape {list(found.shape)}; expected are {rows} finite values, one a row"
            )
        return found

    return lambda source, variant, labels: (values(source, labels), values(variant, labels))
