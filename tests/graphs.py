"""Small ONNX models, made in code: what they are put together from, and those that several tests use."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from engines.signature import NUMPY_DTYPES

Array = np.ndarray[Any, Any]
Shape = Sequence[int | str | None]
"""A text or None is a dynamic dimension."""

_SPELLED_OTHERWISE = {"float32": "FLOAT", "float64": "DOUBLE"}
ONNX_DTYPES: dict[str, int] = {
    name: TensorProto.DataType.Value(_SPELLED_OTHERWISE.get(name, name.upper())) for name in NUMPY_DTYPES
}
"""Signature dtype -> TensorProto.DataType."""

TENS = np.array([10, 20, 30], np.float32)

node = helper.make_node


def value(name: str, dtype: str = "float32", shape: Shape | None = ("N", 2)) -> ValueInfoProto:
    """An input or output; the shape None is an unknown rank."""
    return helper.make_tensor_value_info(name, ONNX_DTYPES[dtype], shape)


def model(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    weights: Mapping[str, Array] | None = None,
    *,
    opsets: Mapping[str, int] | None = None,
    functions: Sequence[FunctionProto] = (),
) -> ModelProto:
    """A model of opset 21 unless told otherwise."""
    held = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    return helper.make_model(
        helper.make_graph(nodes, "graph", inputs, outputs, held),
        opset_imports=[helper.make_opsetid(*entry) for entry in {"": 21, **(opsets or {})}.items()],
        functions=functions,
        ir_version=10,
    )


def save(made: ModelProto, path: Path) -> Path:
    """Write the file, and give its path."""
    onnx.save(made, path)
    return path


def operator(kind: str, dtype: str = "float32", shape: Shape = ("N", 2), **attributes: Any) -> ModelProto:
    """`y = kind(x)`, both of one dtype and shape."""
    return model([node(kind, ["x"], ["y"], **attributes)], [value("x", dtype, shape)], [value("y", dtype, shape)])


def identity(dtype: str, shape: Shape) -> ModelProto:
    """`y` is `x`."""
    return operator("Identity", dtype, shape)


def doubling() -> ModelProto:
    """`y = x + x`, two numbers a row."""
    return model([node("Add", ["x", "x"], ["y"])], [value("x")], [value("y")])


def adding(bias: float) -> ModelProto:
    """`y = x + bias`, two numbers a row: the answer tells which model gave it."""
    weights = {"bias": np.array([bias], np.float32)}
    return model([node("Add", ["x", "bias"], ["y"])], [value("x")], [value("y")], weights)


def linear(weights: Array, x: str = "x") -> ModelProto:
    """`y = x @ weights` of float32, [N, inputs] -> [N, outputs]. `x` is what the input is called."""
    inputs, outputs = weights.shape
    ends = [value(x, shape=("N", inputs))], [value("y", shape=("N", outputs))]
    return model([node("MatMul", [x, "w"], ["y"])], *ends, {"w": weights.astype(np.float32)})


def gather(table: Array = TENS) -> ModelProto:
    """`y` [N] holds the entries of the table at `x` [N] int64, in the dtype of the table: it refuses most values."""
    ends = [value("x", "int64", ["N"])], [value("y", str(table.dtype), ["N"])]
    return model([node("Gather", ["table", "x"], ["y"])], *ends, {"table": table})


def with_external(path: Path, location: str, **entries: str) -> ModelProto:
    """`y` is `x` + `w`, and three numbers of `w` lie in the file `location`. Writes the ONNX file to `path`."""
    made = model(
        [node("Add", ["x", "w"], ["y"])],
        [value("x", shape=["N", 3])],
        [value("y", shape=["N", 3])],
        {"w": np.array([1, 2, 3], np.float32)},
    )
    weight = made.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, text in {"location": location, **entries}.items():
        weight.external_data.add(key=key, value=text)
    save(made, path)
    return made
