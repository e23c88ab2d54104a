"""Inputs, outputs and the batch axis, as the file promises them."""

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from engines.errors import ModelFileError
from engines.onnx_file import read_onnx
from engines.signature import NUMPY_DTYPES, Signature, TensorSpec
from tests.graphs import identity, model, node, value

Shape = list[int | str | None] | None


def signature(made: ModelProto, folder: Path) -> Signature:
    path = folder / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return read_onnx(path).signature


def copies(inputs: list[ValueInfoProto], outputs: list[ValueInfoProto]) -> ModelProto:
    """Every output a copy of the input at its place, of the last one where there are more outputs."""
    pairs = [(inputs[min(i, len(inputs) - 1)].name, output.name) for i, output in enumerate(outputs)]
    return model([node("Identity", [x], [y]) for x, y in pairs], inputs, outputs)


@pytest.mark.parametrize("dtype", NUMPY_DTYPES)
def test_every_dtype_that_is_served(dtype: str, tmp_path: Path) -> None:
    expected = (TensorSpec("x", dtype, (-1, 2)),), (TensorSpec("y", dtype, (-1, 2)),)
    assert signature(identity(dtype, ["N", 2]), tmp_path) == Signature(*expected, 0)


@pytest.mark.parametrize("dtype", ["complex64", "float8e4m3fn", "int4", "uint4", "undefined"])
def test_other_dtypes_are_refused_by_name(dtype: str, tmp_path: Path) -> None:
    tensor = helper.make_tensor_value_info("x", TensorProto.DataType.Value(dtype.upper()), ["N"])
    with pytest.raises(ModelFileError, match=f"input 'x' has dtype {dtype}; served are float16, .*string"):
        signature(model([node("Identity", ["x"], ["y"])], [tensor], [value("y", "float32", ["N"])]), tmp_path)


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("sequence", helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, None)),
        (
            "optional",
            helper.make_value_info("x", helper.make_optional_type_proto(helper.make_tensor_type_proto(1, ["N"]))),
        ),
        ("map", helper.make_value_info("x", helper.make_map_type_proto(7, helper.make_tensor_type_proto(1, ["N"])))),
        ("nothing", ValueInfoProto(name="x")),
    ],
)
def test_what_is_no_tensor_is_refused_by_kind(kind: str, made: ValueInfoProto, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=f"input 'x' is of kind {kind}; only plain tensors are served"):
        signature(model([node("Identity", ["x"], ["y"])], [made], [value("y", "float32", ["N"])]), tmp_path)


def test_an_initializer_listed_as_an_input_is_none(tmp_path: Path) -> None:
    inputs = [value("w", "float32", [3]), value("x", "float32", ["N", 3])]
    made = model(
        [node("Add", ["x", "w"], ["y"])], inputs, [value("y", "float32", ["N", 3])], {"w": np.ones(3, np.float32)}
    )
    assert [spec.name for spec in signature(made, tmp_path).inputs] == ["x"]


def test_the_order_is_the_files(tmp_path: Path) -> None:
    inputs = [value(name, "float32", ["N"]) for name in ("z", "a", "m")]
    found = signature(copies(inputs, [value(f"{x.name}_", "float32", ["N"]) for x in inputs]), tmp_path)
    assert [spec.name for spec in found.inputs] == ["z", "a", "m"]
    assert [spec.name for spec in found.outputs] == ["z_", "a_", "m_"]


@pytest.mark.parametrize("declared", [None, [None, None]])
def test_what_an_output_leaves_open_is_inferred(declared: Shape, tmp_path: Path) -> None:
    made = model(
        [node("MatMul", ["x", "w"], ["y"])],
        [value("x", "float32", ["N", 3])],
        [value("y", "float32", declared)],
        {"w": np.ones((3, 5), np.float32)},
    )
    assert signature(made, tmp_path) == Signature(
        (TensorSpec("x", "float32", (-1, 3)),), (TensorSpec("y", "float32", (-1, 5)),), 0
    )


def test_an_output_of_unknown_rank_has_no_shape(tmp_path: Path) -> None:
    inputs = [value("x", "float32", ["N"]), value("s", "int64", ["R"])]
    found = signature(model([node("Reshape", ["x", "s"], ["y"])], inputs, [value("y", "float32", None)]), tmp_path)
    assert found.outputs == (TensorSpec("y", "float32", None),)
    assert found.batch_axis is None


def test_a_negative_size_is_a_dynamic_one(tmp_path: Path) -> None:
    assert signature(identity("float32", [-1, 3]), tmp_path).inputs[0].shape == (-1, 3)


@pytest.mark.parametrize(
    ("batch_axis", "inputs", "outputs"),
    [
        (0, [["N", 3]], [["N", 3]]),
        (0, [["N"], ["N", 3]], [["N"], ["N", 3]]),
        (0, [["N", "L"]], [["N", "L"]]),
        (0, [[None, 3]], [[None, 3]]),
        (0, [["N", 3], [None, 3]], [["N", 3], [None, 3]]),
        (0, [["unk__1", 3], ["unk__2", 3]], [["N", 3], ["unk__4", 3]]),
        (0, [["x_dynamic_axes_1"]], [["y_dynamic_axes_1"]]),
        (None, [["N"], ["M"]], [["N"], ["M"]]),
        (None, [[4, 3]], [[4, 3]]),
        (None, [["N"], [4]], [["N"], [4]]),
        (None, [["N"], []], [["N"], []]),
        (None, [[]], [[]]),
        (None, [[3, "N"]], [[3, "N"]]),
    ],
)
def test_the_batch_axis(batch_axis: int | None, inputs: list[Shape], outputs: list[Shape], tmp_path: Path) -> None:
    made = copies(
        [value(f"x{i}", "float32", shape) for i, shape in enumerate(inputs)],
        [value(f"y{i}", "float32", shape) for i, shape in enumerate(outputs)],
    )
    assert signature(made, tmp_path).batch_axis == batch_axis


def test_a_batch_that_the_output_does_not_have_is_none(tmp_path: Path) -> None:
    made = model(
        [node("ReduceSum", ["x"], ["y"], keepdims=0)], [value("x", "float32", ["N"])], [value("y", "float32", [])]
    )
    assert signature(made, tmp_path).batch_axis is None


def test_a_model_without_inputs_or_outputs_is_refused(tmp_path: Path) -> None:
    constant = node("Constant", [], ["y"], value_float=1.0)
    for made, counts in (
        (model([constant], [], [value("y", "float32", [])]), "0 inputs and 1 outputs"),
        (model([constant], [value("x", "float32", [])], []), "1 inputs and 0 outputs"),
    ):
        with pytest.raises(ModelFileError, match=f"{counts}; it needs at least one of each"):
            signature(made, tmp_path)


def test_two_outputs_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="two outputs of the model have the same name"):
        signature(copies([value("x", "float32", ["N"])], [value("y", "float32", ["N"])] * 2), tmp_path)


def test_more_axes_than_an_array_has_are_refused(tmp_path: Path) -> None:
    assert signature(identity("float32", [1] * 64), tmp_path).inputs[0].shape == (1,) * 64
    with pytest.raises(ModelFileError, match="input 'x' has 65 axes; at most 64 are served"):
        signature(identity("float32", [1] * 65), tmp_path)
