"""The constant weights of a model's operators: what can be quantized before anything runs."""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engines.engine import Array
from engines.onnx_walk import nodes_of

# Where the weights of an operator lie among its inputs.
_PLACES = {"MatMul": 1, "Gemm": 1, "Gather": 0, "Conv": 1}


def held_constants(model: ModelProto) -> dict[str, TensorProto]:
    """The initializers of the main graph and the values of its Constant nodes, by name."""
    values = {
        node.output[0]: attribute.t
        for node in model.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }
    return {tensor.name: tensor for tensor in model.graph.initializer} | values


def weighted(model: ModelProto, operators: Collection[str]) -> list[NodeProto]:
    """Nodes of the main graph of these operators (MatMul, Gemm, Gather, Conv) whose weights are constant FP32."""
    found = _constants(model)
    return [
        node
        for node in model.graph.node
        if node.op_type in operators
        and (weights := found.get(node.input[_PLACES[node.op_type]])) is not None
        and weights.data_type == TensorProto.FLOAT
    ]


def products(model: ModelProto) -> list[NodeProto]:
    """Each MatMul with a constant matrix on its right, and each Gemm that `unfuse` makes one."""
    found = _constants(model)
    nodes = [node for node in weighted(model, {"MatMul", "Gemm"}) if len(found[node.input[1]].dims) == 2]
    return [node for node in nodes if node.op_type == "MatMul" or _is_sum_of_product(node, found)]


def unfuse(model: ModelProto, nodes: Collection[NodeProto]) -> None:
    """Make every Gemm among these `products` the MatMul and the Add that it stands for; the MatMul keeps its name.

    The model holds its constants as initializers, and its nodes have names.
    """
    fused = {node.name for node in nodes if node.op_type == "Gemm"}
    held = held_constants(model)
    whole: list[NodeProto] = []
    for node in model.graph.node:
        whole.extend(_product_and_sum(model, node, held) if node.name in fused else [node])
    del model.graph.node[:]
    model.graph.node.extend(whole)


def add_constant(model: ModelProto, values: Array, name: str) -> str:
    """Let the model hold a further initializer; gives its name."""
    model.graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def drop_unused(model: ModelProto) -> None:
    """Forget the weights that no node takes any more."""
    used = {name for node in nodes_of(model) for name in node.input} | {value.name for value in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _constants(model: ModelProto) -> dict[str, TensorProto]:
    """Those that are held, and what nodes merely make of them: there, only dtype and rank are to be trusted."""
    found = held_constants(model)
    for node in model.graph.node:
        if node.op_type in ("Identity", "Transpose") and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _is_sum_of_product(gemm: NodeProto, held: dict[str, TensorProto]) -> bool:
    attributes = _attributes(gemm)
    return not attributes.get("transA") and (attributes.get("beta", 1.0) == 1 or _added(gemm) in {"", *held})


def _product_and_sum(model: ModelProto, gemm: NodeProto, held: dict[str, TensorProto]) -> Iterator[NodeProto]:
    added = _added(gemm)
    product = f"{gemm.output[0]}_product" if added else gemm.output[0]
    yield helper.make_node("MatMul", [gemm.input[0], _matrix(model, gemm, held)], [product], name=gemm.name)
    if added:
        beta = np.float32(_attributes(gemm).get("beta", 1.0))
        if beta != 1:
            added = add_constant(model, numpy_helper.to_array(held[added]) * beta, f"{gemm.name}_added")
        yield helper.make_node("Add", [product, added], list(gemm.output), name=f"{gemm.name}_sum")


def _added(gemm: NodeProto) -> str:
    """Empty where it only multiplies."""
    return str(gemm.input[2]) if len(gemm.input) > 2 else ""


def _matrix(model: ModelProto, gemm: NodeProto, held: dict[str, TensorProto]) -> str:
    """The weights by which a MatMul multiplies; nodes that share theirs go on to do so."""
    attributes = _attributes(gemm)
    alpha, is_transposed = attributes.get("alpha", 1.0), bool(attributes.get("transB"))
    if alpha == 1 and not is_transposed:
        return str(gemm.input[1])
    name = f"{gemm.input[1]}_{'transposed' if is_transposed else 'taken'}_times_{alpha:g}"
    if name not in held:
        weights = numpy_helper.to_array(held[gemm.input[1]])
        matrix = np.ascontiguousarray((weights.T if is_transposed else weights) * np.float32(alpha))
        held[add_constant(model, matrix, name)] = model.graph.initializer[-1]
    return name
