"""Small ONNX models, one for each thing that a server must cope with."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper


def save(
    path: Path,
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    constants: Sequence[TensorProto] = (),
) -> Path:
    """Write a model of these nodes."""
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def tensor(name: str, dtype: int = TensorProto.FLOAT, shape: Sequence[str | int] = ("n", 2)) -> ValueInfoProto:
    """A declared input or output."""
    return helper.make_tensor_value_info(name, dtype, shape)


def constant(name: str, value: object, dtype: str = "float32") -> TensorProto:
    """A weight."""
    return numpy_helper.from_array(np.array(value, dtype), name)


def adds(path: Path, bias: float) -> Path:
    """`y = x + bias`, two numbers a row: the answer tells which version gave it."""
    nodes = [helper.make_node("Add", ["x", "bias"], ["y"])]
    return save(path, nodes, [tensor("x")], [tensor("y")], [constant("bias", [bias])])


def operator(
    path: Path, kind: str, dtype: int = TensorProto.FLOAT, shape: Sequence[str | int] = ("n", 2), **attributes: object
) -> Path:
    """`y = kind(x)`, of one dtype and shape."""
    nodes = [helper.make_node(kind, ["x"], ["y"], **attributes)]
    return save(path, nodes, [tensor("x", dtype, shape)], [tensor("y", dtype, shape)])


def share_of_largest(path: Path) -> Path:
    """`y = x / max(x)` over the whole batch: what a row gets depends on its batch mates."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=1),
        helper.make_node("Div", ["x", "largest"], ["y"]),
    ]
    return save(path, nodes, [tensor("x")], [tensor("y")])


def two_by_two(path: Path) -> Path:
    """`sum = a + b` and `more = a > b`, of float32 and int64: several inputs, outputs and dtypes."""
    nodes = [
        helper.make_node("Cast", ["b"], ["b_float"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["a", "b_float"], ["sum"]),
        helper.make_node("Greater", ["a", "b_float"], ["more"]),
    ]
    inputs = [tensor("a"), tensor("b", TensorProto.INT64)]
    return save(path, nodes, inputs, [tensor("sum"), tensor("more", TensorProto.BOOL)])
