"""Small ONNX files, made in code."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from engines.signature import NUMPY_DTYPES

_SPELLED_OTHERWISE = {"float32": "FLOAT", "float64": "DOUBLE"}
ONNX_DTYPES: dict[str, int] = {
    name: TensorProto.DataType.Value(_SPELLED_OTHERWISE.get(name, name.upper())) for name in NUMPY_DTYPES
}
"""Signature dtype -> TensorProto.DataType."""

node = helper.make_node


def value(name: str, dtype: str, shape: Sequence[int | str | None] | None) -> ValueInfoProto:
    """An input or output; None for an unknown rank, a text or None for a dynamic dimension."""
    return helper.make_tensor_value_info(name, ONNX_DTYPES[dtype], shape)


def model(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    weights: Mapping[str, np.ndarray[Any, Any]] | None = None,
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


def identity(dtype: str, shape: Sequence[int | str | None]) -> ModelProto:
    """`y` is `x`."""
    return model([node("Identity", ["x"], ["y"])], [value("x", dtype, shape)], [value("y", dtype, shape)])


def gather() -> ModelProto:
    """`y` [N] float32 holds the entries of [10, 20, 30] at `i` [N] int64: a model that refuses most values."""
    weights = {"w": np.array([10, 20, 30], np.float32)}
    return model(
        [node("Gather", ["w", "i"], ["y"])], [value("i", "int64", ["N"])], [value("y", "float32", ["N"])], weights
    )


def with_external(path: Path, location: str, **entries: str) -> ModelProto:
    """`y` is `x` + `w`, and three numbers of `w` lie in the file `location`. Writes the ONNX file to `path`."""
    made = model(
        [node("Add", ["x", "w"], ["y"])],
        [value("x", "float32", ["N", 3])],
        [value("y", "float32", ["N", 3])],
        {"w": np.array([1, 2, 3], np.float32)},
    )
    weight = made.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, text in {"location": location, **entries}.items():
        weight.external_data.add(key=key, value=text)
    onnx.save_model(made, path)
    return made
