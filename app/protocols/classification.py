"""Outputs as classes: their largest values and where those stand (Triton's classification extension).

Source: docs/protocol/extension_classification.md of triton-inference-server/server.
"""

import math

import numpy as np

from app.errors import Malformed
from engines.engine import Array

# Each is a text that Python writes on the event loop.
_MOST_CLASSES = 65_536


def classify(array: Array, most: int, *, batched: bool) -> Array:
    """Texts `value:index` of the `most` largest values, the highest first.

    Of each row, with the shape [rows, at most `most`], where batched; else of the whole array. Of equal values the
    lower index comes first, NaN comes last. A value is written as C++'s std::to_string does: floats with six decimals.
    Raises Malformed where there would be too many texts.
    """
    items = array.reshape((len(array), math.prod(array.shape[1:])) if batched else (1, array.size))
    rows, size = items.shape
    if rows * min(most, size) > _MOST_CLASSES:
        raise Malformed(
            f"'classification' asks for {min(most, size)} classes in each of {rows} rows: "
            f"expected at most {_MOST_CLASSES} in all, ask for fewer"
        )
    is_float = items.dtype.kind in "fV"
    values: Array = items.astype(np.float64) if is_float else items
    # The complement of an integer is the smaller the larger the integer, also without a sign, where `-` wraps around.
    order = np.argsort(-values if is_float else ~values, axis=1, kind="stable")[:, :most]
    chosen = np.take_along_axis(values, order, axis=1).tolist()
    write = "{:f}:{}".format if is_float else "{:d}:{}".format
    texts = np.empty(order.shape, object)
    for row, (line, indices) in enumerate(zip(chosen, order.tolist(), strict=True)):
        texts[row] = list(map(write, line, indices))
    return texts if batched else texts[0]
