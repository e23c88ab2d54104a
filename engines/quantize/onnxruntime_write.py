"""Runs one of ONNX Runtime's quantizers, and sees that it did something."""

from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import GraphProto

from engines.errors import EngineError, QuantizeError
from engines.machine import has_vnni
from engines.quantize.onnxruntime_prepare import quiet

_QUANTIZED = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulNBits"}
_WITH_WEIGHTS = {"Conv", "ConvTranspose", "Gemm"}


def write_quantized(folder: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` make a file in the folder. Raises QuantizeError if it cannot or quantizes nothing, and OSError."""
    path = folder / "model.onnx"
    with quiet():
        try:
            write(path)
        except (EngineError, OSError):
            raise
        except Exception as error:  # they raise whatever they meet, KeyError and AttributeError too
            raise QuantizeError(f"ONNX Runtime cannot quantize this model: {error}") from error
    if not _is_quantized(onnx.load(path, load_external_data=False).graph):
        raise QuantizeError("nothing was quantized in this model; exclude fewer nodes, or try another recipe")
    return path


def _is_quantized(graph: GraphProto) -> bool:
    if any(node.op_type in _QUANTIZED for node in graph.node):
        return True
    return any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in graph.initializer)


def keep_float(path: Path, excluded: list[str]) -> None:
    """See to it that ONNX Runtime runs these nodes of a Q/DQ file in float.

    Between Q and DQ it quantizes float weights by itself when it loads the file. A Max of one tensor, which changes
    nothing, keeps such a node apart; an Identity would be removed.
    """
    model = onnx.load(path)
    dequantized = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    nodes = []
    for node in model.graph.node:
        if node.name in excluded and node.op_type in _WITH_WEIGHTS and node.input[0] in dequantized:
            apart = f"{node.name}_float"
            nodes.append(onnx.helper.make_node("Max", [node.input[0]], [apart], name=apart))
            node.input[0] = apart
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)


def reduces_range() -> bool:
    """Whether weights get 7 bits: without VNNI, pairs of products of 8 bits saturate."""
    return not has_vnni()
