"""What models give, of every dtype and shape, and how to tell whether an answer in JSON is that."""

import math
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from app.serving.servable import Identity
from engines.signature import NUMPY_DTYPES

Array = np.ndarray[Any, Any]

IDENTITY = Identity("m", "1.2.3", "fp32", "onnxruntime")
_LEAVES = {"b": bool, "i": int, "u": int, "f": float, "V": float, "O": str}


def dtype_name(array: Array) -> str:
    return next(name for name, dtype in NUMPY_DTYPES.items() if dtype == array.dtype)


@st.composite
def tensors(draw: st.DrawFn, least_rank: int = 0, rows: int | None = None) -> Array:
    name = draw(st.sampled_from(sorted(NUMPY_DTYPES)))
    shape = draw(npst.array_shapes(min_dims=least_rank, max_dims=4, min_side=0, max_side=3))
    if rows is not None:
        shape = (rows, *shape[1:])
    if name == "string":
        array = np.empty(shape, object)
        for index in np.ndindex(*shape):
            array[index] = draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.just("null"))
        return array
    if name == "bfloat16":
        return draw(npst.arrays(np.uint16, shape)).view(ml_dtypes.bfloat16)
    return draw(npst.arrays(NUMPY_DTYPES[name], shape))


def from_json(values: Any, dtype: str, shape: tuple[int, ...]) -> Array:
    """The array that these values are, in lists of any nesting; asserts that each is of JSON's type for the dtype."""
    numpy_dtype = NUMPY_DTYPES[dtype]
    leaves = np.array(values, object).ravel()
    assert {type(leaf) for leaf in leaves} <= {_LEAVES[numpy_dtype.kind]}
    wide = np.float64 if numpy_dtype.kind in "fV" else numpy_dtype
    return leaves.astype(wide).astype(numpy_dtype).reshape(shape)


def comparable(array: Array) -> Any:
    """Bits, where every NaN is the one that JSON can name."""
    if array.dtype.kind == "O":
        return array.tolist()
    if array.dtype.kind in "fV":
        array = np.where(np.isnan(array), np.array(math.nan, array.dtype), array)
    return array.tobytes()


def is_written(values: Any, array: Array) -> bool:
    """Whether the values of an answer are the array, bit for bit."""
    return bool(comparable(from_json(values, dtype_name(array), array.shape)) == comparable(array))
