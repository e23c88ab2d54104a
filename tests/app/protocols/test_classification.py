"""The largest values and where they stand, against a reader that sorts Python's numbers."""

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from app.errors import Malformed
from app.protocols.classification import classify
from engines.signature import NUMPY_DTYPES

Array = np.ndarray[Any, Any]
DTYPES = sorted(name for name in NUMPY_DTYPES if name not in ("string", "bfloat16"))


def reference(values: list[Any], most: int) -> list[str]:
    def rank(pair: tuple[int, Any]) -> tuple[bool, Any, int]:
        index, value = pair
        return (True, 0, index) if math.isnan(value) else (False, -value, index)

    best = sorted(enumerate(values), key=rank)[:most]
    return [f"{value:f}:{index}" if isinstance(value, float) else f"{int(value)}:{index}" for index, value in best]


arrays = st.sampled_from(DTYPES).flatmap(
    lambda name: npst.arrays(NUMPY_DTYPES[name], npst.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5))
)


@given(arrays, st.integers(1, 20))
def test_every_row_has_its_own_classes(array: Array, most: int) -> None:
    found = classify(array, most, batched=True)
    size = math.prod(array.shape[1:])
    assert found.shape == (len(array), min(most, size))
    assert found.tolist() == [reference(row.ravel().tolist(), most) for row in array]


@given(arrays, st.integers(1, 20))
def test_without_a_batch_axis_the_whole_output_is_one_item(array: Array, most: int) -> None:
    found = classify(array, most, batched=False)
    assert found.shape == (min(most, array.size),)
    assert found.tolist() == reference(array.ravel().tolist(), most)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0.1, 9, np.nan, 9], "float32"), ["9.000000:1", "9.000000:3", "0.100000:0", "nan:2"]),
        (np.array([-np.inf, np.inf]), ["inf:1", "-inf:0"]),
        (np.array([1.5, -2], "float16"), ["1.500000:0", "-2.000000:1"]),
        (np.array([1, 3], ml_dtypes.bfloat16), ["3.000000:1", "1.000000:0"]),
        (np.array([0, 2**64 - 1, 2**63], "uint64"), [f"{2**64 - 1}:1", f"{2**63}:2", "0:0"]),
        (np.array([-128, 127, 0], "int8"), ["127:1", "0:2", "-128:0"]),
        (np.array([False, True]), ["1:1", "0:0"]),
        (np.array(2.5), ["2.500000:0"]),
    ],
)  # fmt: skip
def test_values_are_written_as_cpp_writes_them(values: Array, expected: list[str]) -> None:
    assert classify(values, 9, batched=False).tolist() == expected


def test_classes_have_a_bound_for_all_rows_together() -> None:
    array = np.zeros((64, 2000), "float32")
    assert classify(array, 1024, batched=True).shape == (64, 1024)
    with pytest.raises(Malformed, match=r"1025 classes in each of 64 rows: expected at most 65536 in all"):
        classify(array, 1025, batched=True)
    with pytest.raises(Malformed, match=r"128000 classes in each of 1 rows"):
        classify(array, 10**9, batched=False)
    assert classify(array[:32], 10**9, batched=True).shape == (32, 2000), "as many as there are, and no more"
