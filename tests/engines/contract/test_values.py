"""What goes into a model comes out as it should: every dtype, every form of shape."""

import numpy as np
import pytest

from engines.errors import InputRefused
from engines.signature import NUMPY_DTYPES
from tests.engines.contract.conftest import IN_32_BITS, Open
from tests.graphs import ONNX_DTYPES, identity, model, node, value

NUMERIC = [name for name in NUMPY_DTYPES if name != "string"]


def extremes(dtype: str) -> np.ndarray:
    """[N,2] values at both ends of what the dtype holds."""
    if dtype == "bool":
        return np.array([[True, False], [False, True]])
    if dtype.startswith(("int", "uint")):
        info = np.iinfo(dtype)
        return np.array([[info.min, info.max], [0, 1]], dtype)
    return np.array([[-np.inf, 1 / 3], [-0.0, np.nan]]).astype(NUMPY_DTYPES[dtype])


@pytest.mark.parametrize("dtype", NUMERIC)
def test_every_dtype_comes_back_bit_for_bit(dtype: str, open_engine: Open) -> None:
    sent = extremes(dtype)
    engine = open_engine(identity(dtype, ["N", 2]))
    runner = engine.runner()
    if dtype in ("int64", "uint64") and engine.name.split()[0] in IN_32_BITS:
        with pytest.raises(InputRefused, match="32 bits"):
            runner.run({"x": sent})
        sent = extremes("int32" if dtype == "int64" else "uint16").astype(dtype)
    answer = runner.run({"x": sent})["y"]
    assert answer.dtype == NUMPY_DTYPES[dtype]
    assert answer.shape == (2, 2)
    assert answer.tobytes() == sent.tobytes()


@pytest.mark.parametrize("dtype", [name for name in NUMERIC if name != "bool"])
def test_every_dtype_is_cast_to_and_from(dtype: str, open_engine: Open) -> None:
    there = node("Cast", ["x"], ["h"], to=ONNX_DTYPES[dtype])
    back = node("Cast", ["h"], ["y"], to=ONNX_DTYPES["float32"])
    outputs = [value("h", dtype, ["N"]), value("y", "float32", ["N"])]
    sent = np.array([0, 1, 100], np.float32)
    answer = open_engine(model([there, back], [value("x", "float32", ["N"])], outputs)).runner().run({"x": sent})
    assert answer["h"].dtype == NUMPY_DTYPES[dtype]
    assert np.array_equal(answer["h"].astype(np.float32), sent)
    assert np.array_equal(answer["y"], sent)


@pytest.mark.parametrize("text", ["plain", "", "Zürich 東京 🜁", "a\0b", "\0", " \t\n", "x" * 100_000])
def test_strings_come_back_whole(text: str, open_engine: Open) -> None:
    sent = np.array([[text, "other"]], object)
    answer = open_engine(identity("string", ["N", 2])).runner().run({"x": sent})["y"]
    assert answer.dtype == object
    assert answer.tolist() == [[text, "other"]]


@pytest.mark.parametrize("mate", ["string", "bfloat16"])
def test_inputs_and_outputs_go_by_name_whatever_their_dtypes(mate: str, open_engine: Open) -> None:
    dtypes = {"a": "float32", "b": "int64", "c": mate, "d": "bool"}
    swapped = model(
        [node("Identity", [name], [f"{name}_out"]) for name in reversed(dtypes)],
        [value(name, dtype, ["N"]) for name, dtype in dtypes.items()],
        [value(f"{name}_out", dtypes[name], ["N"]) for name in ("c", "a", "d", "b")],
    )
    sent = {
        "d": np.array([True, False]),
        "c": np.array(["x", "y"], object) if mate == "string" else np.array([0.5, 2], NUMPY_DTYPES[mate]),
        "b": np.array([2**53 + 1, -1]),
        "a": np.array([0.1, 0.2], np.float32),
    }
    engine = open_engine(swapped)
    if engine.name.split()[0] in IN_32_BITS:
        sent["b"] = np.array([2**31 - 1, -1])
    answer = engine.runner().run(sent)
    assert set(answer) == {"a_out", "b_out", "c_out", "d_out"}
    for name, array in sent.items():
        assert answer[f"{name}_out"].dtype == array.dtype
        assert answer[f"{name}_out"].tolist() == array.tolist()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "string"])
def test_rank_0(dtype: str, open_engine: Open) -> None:
    sent = np.array("text" if dtype == "string" else 1.5, NUMPY_DTYPES[dtype])
    answer = open_engine(identity(dtype, [])).runner().run({"x": sent})["y"]
    assert isinstance(answer, np.ndarray)
    assert answer.shape == ()
    assert answer[()] == sent[()]


@pytest.mark.parametrize("rows", [1, 2, 7, 64])
def test_any_number_of_rows_where_the_batch_is_dynamic(rows: int, open_engine: Open) -> None:
    sent = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
    engine = open_engine(identity("float32", ["N", 3]))
    assert engine.signature.batch_axis == 0
    assert engine.max_rows is None or engine.max_rows >= rows
    assert np.array_equal(engine.runner().run({"x": sent})["y"], sent)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "string"])
def test_no_rows_give_no_rows(dtype: str, open_engine: Open) -> None:
    answer = open_engine(identity(dtype, ["N", 64])).runner().run({"x": np.empty((0, 64), NUMPY_DTYPES[dtype])})["y"]
    assert answer.shape == (0, 64)
    assert answer.dtype == NUMPY_DTYPES[dtype]


def test_a_fixed_batch_takes_its_own_size(open_engine: Open) -> None:
    sent = np.arange(12, dtype=np.float32).reshape(4, 3)
    engine = open_engine(identity("float32", [4, 3]))
    assert engine.signature.batch_axis is None
    assert np.array_equal(engine.runner().run({"x": sent})["y"], sent)


def test_an_output_whose_shape_the_values_decide(open_engine: Open) -> None:
    nonzero = model([node("NonZero", ["x"], ["y"])], [value("x", "float32", [None])], [value("y", "int64", [1, None])])
    runner = open_engine(nonzero).runner()
    assert runner.run({"x": np.array([0, 5, 6], np.float32)})["y"].tolist() == [[1, 2]]
    assert runner.run({"x": np.zeros(3, np.float32)})["y"].shape == (1, 0)
