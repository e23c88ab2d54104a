"""What quantizers take for granted about a model, and exporters do not keep to."""

import numpy as np
from onnx import ModelProto, numpy_helper
from onnx.version_converter import convert_version

from engines.quantize.weights import add_constant, held_constants

_PER_CHANNEL_OPSET = 13  # from which on DequantizeLinear has scales along an axis


def modern(model: ModelProto) -> ModelProto:
    """The same model in an opset that knows scales for each channel, if it can be told in one."""
    if all(entry.version >= _PER_CHANNEL_OPSET for entry in model.opset_import if entry.domain in ("", "ai.onnx")):
        return model
    try:
        return convert_version(model, _PER_CHANNEL_OPSET)
    except Exception:  # noqa: BLE001  it raises whatever it meets; what needs the opset will say so
        return model


def hold_constants(model: ModelProto) -> None:
    """Initializers are constant: those of old models are inputs too, which anyone could feed."""
    held = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in held]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 4)  # before that, they had to be


def flatten_biases(model: ModelProto) -> None:
    """What a Gemm adds to every row is a vector, also where it was written as a single value or a matrix of one row."""
    held = held_constants(model)
    for node in model.graph.node:
        if node.op_type != "Gemm" or len(node.input) < 3 or not {node.input[1], node.input[2]} <= held.keys():
            continue
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        outputs = held[node.input[1]].dims[0 if transposed else 1]
        added = numpy_helper.to_array(held[node.input[2]])
        if added.shape != (outputs,) and (added.ndim < 2 or added.shape[0] == 1):
            flat = np.ascontiguousarray(np.broadcast_to(added.reshape(-1), (outputs,)))
            node.input[2] = add_constant(model, flat, f"{node.name}_bias")
