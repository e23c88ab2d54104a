"""Values of every dtype that a client must get back as they are: the ends of the range, and what formats stumble on."""

import ml_dtypes
import numpy as np

from tests.clients.scripts.lines import Array


def _ends(dtype: str) -> Array:
    bounds = np.iinfo(dtype)
    return np.array([[bounds.min, bounds.max], [0, 1]], dtype)


def _numbers(dtype: type) -> Array:
    return np.array([[0.1, -2.5], [ml_dtypes.finfo(dtype).max, ml_dtypes.finfo(dtype).smallest_subnormal]], dtype)


VALUES: dict[str, Array] = {
    "bool": np.array([[True, False], [False, False]]),
    **{f"{sign}int{bits}": _ends(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{np.dtype(kind).name: _numbers(kind) for kind in (np.float16, np.float32, np.float64, ml_dtypes.bfloat16)},
    "string": np.array([["", "Straße"], ["a\0b", '"\\']], object),
}
"""Two rows of two values, by dtype of a signature."""
