"""What TfServing.encode writes, read back by the standard library."""

import base64
import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Malformed
from app.protocols.tfserving import COLUMN, ROW, TfServing
from engines.signature import Signature, TensorSpec
from tests.app.protocols.outputs import IDENTITY, Array, dtype_name, is_written, tensors


def gives(**outputs: Array) -> TfServing:
    """The codec of a model with these outputs."""
    specs = tuple(TensorSpec(name, dtype_name(array), None) for name, array in outputs.items())
    return TfServing(Signature((), specs, 0))


def answer(form: str, **outputs: Array) -> Any:
    return json.loads(gives(**outputs).encode(outputs, form, IDENTITY)[1])


def written(form: str, **outputs: Array) -> bytes:
    return gives(**outputs).encode(outputs, form, IDENTITY)[1]


def is_nested(values: Any, array: Array) -> bool:
    """Whether the values are the array, in lists that are nested as its shape as far as there are any."""
    depth = array.ndim if array.size else np.ndim(values)
    return np.shape(values) == array.shape[:depth] and is_written(values, array)


@given(tensors())
def test_one_output_in_column_form_is_the_tensor(array: Array) -> None:
    found = answer(COLUMN, y=array)
    assert list(found) == ["outputs"]
    assert is_nested(found["outputs"], array)


@given(tensors(least_rank=1))
def test_one_output_in_row_form_is_a_list_of_rows(array: Array) -> None:
    found = answer(ROW, y=array)
    assert list(found) == ["predictions"]
    assert len(found["predictions"]) == len(array)
    assert is_nested(found["predictions"], array)


@given(st.integers(0, 3).flatmap(lambda rows: st.tuples(tensors(1, rows), tensors(1, rows))))
def test_several_outputs_keep_their_names_in_both_forms(pair: tuple[Array, Array]) -> None:
    outputs = {"a": pair[0], "null": pair[1]}
    by_row = answer(ROW, **outputs)["predictions"]
    by_column = answer(COLUMN, **outputs)["outputs"]
    assert list(by_column) == list(outputs)
    assert all(list(row) == list(outputs) for row in by_row)
    for name, array in outputs.items():
        for values in (by_column[name], [row[name] for row in by_row]):
            assert is_nested(values, array)


@given(tensors(least_rank=2))
def test_the_memory_layout_does_not_show(array: Array) -> None:
    for view in (array.T, array[::-1], array[..., ::2], np.asfortranarray(array)):
        for form in (ROW, COLUMN):
            if form == COLUMN or view.ndim:
                assert written(form, y=view) == written(form, y=view.copy(order="C"))
                assert written(form, y=view, z=view) == written(form, y=view.copy(order="C"), z=view.copy(order="C"))


def test_a_float_is_the_shortest_text_of_its_own_precision() -> None:
    assert written(COLUMN, y=np.array([0.2, 1, 3e38], "float32")) == b'{"outputs":[0.2,1.0,3e+38]}'
    assert written(COLUMN, y=np.array([0.2, 1, 1e300], "float64")) == b'{"outputs":[0.2,1.0,1e+300]}'
    assert written(ROW, y=np.array([1, 2], "int64")) == b'{"predictions":[1,2]}'


def test_what_is_not_finite_is_a_bare_token() -> None:
    odd = np.array([np.nan, np.inf, -np.inf, 1.5], "float32")
    tokens = b"[NaN,Infinity,-Infinity,1.5]"
    assert written(COLUMN, y=odd) == b'{"outputs":' + tokens + b"}"
    assert written(COLUMN, y=odd.astype("float16")) == b'{"outputs":' + tokens + b"}"
    assert written(COLUMN, y=odd.astype(ml_dtypes.bfloat16)) == b'{"outputs":' + tokens + b"}"
    assert written(ROW, y=odd[:1], z=odd[1:2]) == b'{"predictions":[{"y":NaN,"z":Infinity}]}'
    assert written(COLUMN, y=np.array(np.nan)) == b'{"outputs":NaN}'


def test_the_word_null_in_a_text_stays_beside_a_nan() -> None:
    found = written(ROW, label=np.array(["null", 'a"null'], object), y=np.array([np.nan, 1.0]))
    assert found == b'{"predictions":[{"label":"null","y":NaN},{"label":"a\\"null","y":1.0}]}'


def test_an_output_called_bytes_is_base64() -> None:
    text = np.array(["grüße", ""], object)
    packed = [{"b64": base64.b64encode("grüße".encode()).decode()}, {"b64": ""}]
    assert answer(ROW, y_bytes=text) == {"predictions": packed}
    assert answer(COLUMN, y_bytes=text) == {"outputs": packed}
    assert answer(ROW, y_bytes=text, y=text)["predictions"][0] == {"y_bytes": packed[0], "y": "grüße"}
    assert answer(COLUMN, y_bytes=np.array("grüße", object)) == {"outputs": packed[0]}
    assert answer(COLUMN, y_bytes=np.array([1.5])) == {"outputs": [1.5]}


def test_rank_0_is_a_bare_value_in_column_form_only() -> None:
    scalar = np.array(2.5, "float32")
    assert answer(COLUMN, y=scalar) == {"outputs": 2.5}
    assert answer(COLUMN, y=scalar, z=np.array("a", object)) == {"outputs": {"y": 2.5, "z": "a"}}
    with pytest.raises(Malformed, match="output 'y' has no rows: ask with 'inputs' instead of 'instances'"):
        written(ROW, y=scalar)


def test_unequal_rows_are_refused_in_row_form_only() -> None:
    outputs = {"y": np.zeros((2, 1)), "z": np.zeros((3, 1))}
    assert answer(COLUMN, **outputs)["outputs"]["z"] == [[0.0], [0.0], [0.0]]
    with pytest.raises(Malformed, match="output 'z' has 3 rows where another has 2: ask with 'inputs'"):
        written(ROW, **outputs)
