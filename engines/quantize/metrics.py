"""How good an answer is: one value a row for the source and one for the variant, the more the better."""

from collections.abc import Callable

import numpy as np

from engines.engine import Array, Arrays
from engines.errors import DataError
from engines.quantize.float_errors import cosines, float_pair
from engines.quantize.scores import scores_of
from engines.quantize.user_code import load_function
from engines.signature import Signature

Labels = Array | None
Metric = Callable[[Arrays, Arrays, Labels], tuple[Array, Array]]
"""(the source's outputs, the variant's, labels) -> (the source's values, the variant's), one a row."""


def read_metric(name: str, signature: Signature, has_labels: bool) -> Metric:
    """The metric of a name: `accuracy`, `agreement` with the source's highest score, `cosine` between the outputs of
    floats, or a user's `module:function`, where `function(outputs, labels)` gives one value a row.

    Raises DataError.
    """
    if ":" in name:
        return _users(name)
    if name not in ("accuracy", "agreement", "cosine"):
        raise DataError(f"metric {name!r} is not known; there are accuracy, agreement, cosine and module:function")
    if name == "cosine":
        return _cosine
    scores = scores_of(signature)
    if scores is None:
        raise DataError(f"{name} needs an output of scores, [rows, classes]; there is none: give module:function")
    if name == "agreement":
        return lambda source, variant, _: _agreement(source[scores], variant[scores])
    if not has_labels:
        raise DataError("accuracy needs labels, and the evaluation rows have none; add an entry 'labels'")
    return lambda source, variant, labels: (_accuracy(source[scores], labels), _accuracy(variant[scores], labels))


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
            found = np.asarray(function(outputs, labels))
            found = found if found.dtype.kind == "c" else found.astype(np.float64)
        except (Exception, SystemExit) as error:
            raise DataError(f"metric {name} failed with {type(error).__name__}: {error}") from error
        if found.shape != (rows,):
            raise DataError(f"metric {name} gave shape {list(found.shape)} for {rows} rows; expected is a value a row")
        if found.dtype.kind == "c" or not np.isfinite(found).all():
            worst = found[np.argmin(np.isfinite(found))]
            raise DataError(f"metric {name} gave {worst} for a row; expected are finite, real values")
        return found

    return lambda source, variant, labels: (values(source, labels), values(variant, labels))
