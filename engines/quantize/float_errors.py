"""What two sets of float outputs differ by: cosine, largest error, signal-to-noise."""

import numpy as np

from engines.engine import Array, Arrays
from engines.errors import DataError, QuantizeError
from engines.quantize.arithmetic import sqnr_db
from engines.signature import NUMPY_DTYPES


class FloatErrors:
    """Sums over rows, as they come."""

    def __init__(self) -> None:
        self.largest = 0.0
        self._signal = self._noise = self._cosines = 0.0
        self._rows = 0

    def add(self, expected: Arrays, found: Arrays) -> None:
        """The same rows' outputs by both. Raises as `float_pair`."""
        one, other = float_pair(expected, found)
        error = one - other
        self._signal += float((one**2).sum())
        self._noise += float((error**2).sum())
        self.largest = max(self.largest, float(np.abs(error).max(initial=0.0)))
        self._cosines += float(cosines(one, other).sum())
        self._rows += len(one)

    @property
    def cosine(self) -> float:
        """Mean over rows; 1 before any came."""
        return self._cosines / self._rows if self._rows else 1.0

    @property
    def sqnr_db(self) -> float:
        """Over all rows."""
        return sqnr_db(self._signal, self._noise)


def float_pair(expected: Arrays, found: Arrays) -> tuple[Array, Array]:
    """All outputs of floats by both, [rows, values] in float64; 0 where both are the same infinity or NaN.

    Raises DataError where no output is of floats, QuantizeError for infinity or NaN on one side only.
    """
    one, other = _flat(expected), _flat(found)
    if one.shape != other.shape:
        raise QuantizeError(f"the variant answers in shape {list(other.shape)}, its source in {list(one.shape)}")
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    wild = ~same & ~(np.isfinite(one) & np.isfinite(other))
    if (wild & ~np.isfinite(one)).any():
        worst = one[wild & ~np.isfinite(one)][0]
        raise QuantizeError(
            f"the source answers {worst} to some of the rows, and the variant something else: what is no number cannot "
            "be compared; leave such rows out"
        )
    if wild.any():
        raise QuantizeError(
            f"the variant answers {other[wild][0]} where its source answers {one[wild][0]}: numbers leave its range; "
            "try a recipe with a wider one (bf16 instead of fp16), or exclude the layer where it happens"
        )
    is_number = np.isfinite(one)
    return np.where(is_number, one, 0.0), np.where(is_number, other, 0.0)


def is_float(dtype: str) -> bool:
    """Whether a signature's dtype is of floats, bfloat16 too."""
    return dtype == "bfloat16" or NUMPY_DTYPES[dtype].kind == "f"


def cosines(one: Array, other: Array) -> Array:
    """Row by row; 1 between two rows of zeros, 0 between zeros and something."""
    lengths = np.linalg.norm(one, axis=1), np.linalg.norm(other, axis=1)
    product = lengths[0] * lengths[1]
    both_zero = (lengths[0] == 0) & (lengths[1] == 0)
    cosine = np.divide((one * other).sum(axis=1), product, out=np.zeros(len(one)), where=product > 0)
    return np.asarray(np.where(both_zero, 1.0, np.clip(cosine, -1.0, 1.0)))


def _flat(outputs: Arrays) -> Array:
    arrays = [array for array in outputs.values() if array.dtype != object and is_float(str(array.dtype))]
    if not arrays:
        raise DataError("the model has no output of floats to compare; give a metric module:function")
    return np.concatenate([np.asarray(array, np.float64).reshape(len(array), -1) for array in arrays], axis=1)
