"""What recipes ask about the graph that OpenVINO makes of an ONNX file."""

from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from engines.quantize.excluded import standing_for

if TYPE_CHECKING:
    from openvino import Model, Node

_OF_TRANSFORMERS = {"MVN", "ScaledDotProductAttention"}  # MVN is a normalization
_WITHOUT_BIAS = "/WithoutBiases"  # what the product of an ONNX node is called that adds a bias too


def is_transformer(model: "Model") -> bool:
    """Whether it normalizes or attends, that is, multiplies two computed tensors."""
    return any(op.get_type_name() in _OF_TRANSFORMERS or _multiplies_computed(op) for op in model.get_ops())


def operations_of(nodes: tuple[str, ...], model: "Model", source: Path) -> list[str]:
    """Names of the operations that stand for these nodes of the ONNX file. Raises QuantizeError for one it has not."""
    makers = {
        tensor: op.get_friendly_name() for op in model.get_ops() for out in op.outputs() for tensor in out.get_names()
    }
    names = {op.get_friendly_name() for op in model.get_ops()}
    products = {node + _WITHOUT_BIAS for node in nodes} & names
    return sorted(products.union(standing_for(onnx.load(source, load_external_data=False), makers, nodes)))


def _multiplies_computed(op: "Node") -> bool:
    inputs = (value.get_node() for value in op.input_values())
    return op.get_type_name() == "MatMul" and not any(made.get_type_name() == "Constant" for made in inputs)
