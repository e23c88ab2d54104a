"""Biases of Gemm in integers, without which ONNX Runtime computes a quantized Gemm in float.

int32, scale s_x * s_w, zero point 0 (arXiv 1712.05877, section 2.4). It does the same for a Conv by itself.
"""

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from engines.engine import Array
from engines.quantize.weights import add_constant, drop_unused


def quantize_gemm_biases(model: ModelProto) -> None:
    """Of each Gemm that takes dequantized activations and weights, and a constant bias in float."""
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    producers = {node.output[0]: node for node in model.graph.node}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        scale = _scale(node, producers, held) if node.op_type == "Gemm" else None
        if scale is not None:
            nodes.append(_quantized(model, node, held[node.input[2]], scale))
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    drop_unused(model)


def _scale(gemm: NodeProto, producers: dict[str, NodeProto], held: dict[str, Array]) -> Array | None:
    """s_x * s_w, one value or one a channel; None where there is nothing to do."""
    factors = [producers.get(name) for name in gemm.input[:2]]
    if len(gemm.input) < 3 or gemm.input[2] not in held or held[gemm.input[2]].ndim != 1:
        return None
    scales = [
        held.get(factor.input[1]) for factor in factors if factor is not None and factor.op_type == "DequantizeLinear"
    ]
    if len(scales) < 2 or scales[0] is None or scales[1] is None or scales[0].size != 1:
        return None
    return np.asarray(scales[0] * scales[1], np.float32)


def _quantized(model: ModelProto, gemm: NodeProto, bias: Array, scale: Array) -> NodeProto:
    """Give the Gemm its bias in integers, and what dequantizes it."""
    name, bounds = f"{gemm.output[0]}_bias", np.iinfo(np.int32)  # of this Gemm, whoever else takes the float one
    integers = np.clip(np.rint(bias / scale.astype(np.float64)), bounds.min, bounds.max).astype(np.int32)
    taken = [
        add_constant(model, integers, f"{name}_quantized"),
        add_constant(model, scale, f"{name}_scale"),
        add_constant(model, np.zeros(scale.shape, np.int32), f"{name}_zero_point"),
    ]
    gemm.input[2] = f"{name}_dequantized"
    return helper.make_node("DequantizeLinear", taken, [gemm.input[2]], name=gemm.input[2], axis=0)
