"""The constant weights of a model's operators: what can be quantized before anything runs."""

from collections.abc import Collection

import onnx
from onnx import ModelProto, NodeProto

from engines.onnx_walk import nodes_of

# Where the weights of an operator lie among its inputs.
_PLACES = {"MatMul": 1, "Gemm": 1, "Gather": 0, "Conv": 1}


def weighted(model: ModelProto, operators: Collection[str]) -> list[NodeProto]:
    """Nodes of the main graph of these operators (MatMul, Gemm, Gather, Conv) whose weights are constant."""
    held = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    held |= {node.output[0]: _constant_type(node) for node in model.graph.node if node.op_type == "Constant"}
    return [
        node
        for node in model.graph.node
        if node.op_type in operators and held.get(node.input[_PLACES[node.op_type]]) == onnx.TensorProto.FLOAT
    ]


def drop_unused(model: ModelProto) -> None:
    """Forget the weights that no node takes any more."""
    used = {name for node in nodes_of(model) for name in node.input} | {value.name for value in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _constant_type(node: NodeProto) -> int:
    return next((attribute.t.data_type for attribute in node.attribute if attribute.name == "value"), 0)
