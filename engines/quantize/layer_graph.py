"""Which tensors of a quantized ONNX graph stand for which of its source, and how each is quantized."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, numpy_helper

from engines.engine import Array

# What computes with weights: the layers of a network.
_LAYERS = {"Conv", "ConvTranspose", "MatMul", "Gemm", "Gather", "Attention", "LSTM", "GRU"}
# What only moves values, and adds no error of its own.
_MOVES = {
    *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Cast", "Dropout", "Expand", "Tile"),
    *("MaxPool", "Concat", "Split", "Slice", "Pad", "DequantizeLinear"),
}
_ACTIVATIONS = {
    "Relu",
    "Clip",
    "LeakyRelu",
    "PRelu",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "Tanh",
    "Elu",
    "Gelu",
    "Erf",
}


class Quantizer(NamedTuple):
    """Of one tensor: value = (q - zero) * scale, q within [least, most]."""

    scale: float
    zero: int
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Tap:
    """One tensor to compare."""

    node: str
    """Of the source: the layer that makes the tensor, the activation behind it included."""
    operator: str
    tensor: str
    """Its name in the source."""
    variant_tensor: str
    """The one that holds its value, dequantized, in the variant."""
    quantizer: Quantizer | None
    """None where the tensor stays float, or its scale is not a single one."""
    per_tensor_weights: bool
    """Whether one scale holds for all the layer's weights."""
    before: tuple[str, ...]
    """The compared tensors of the source that it is computed from, the nearest ones."""


class Graph:
    """A file's main graph, by names."""

    def __init__(self, path: Path) -> None:
        """Read it; large weights stay in their files."""
        self.model: ModelProto = onnx.load(path, load_external_data=False)
        self.folder = path.parent
        self.producers: dict[str, NodeProto] = {name: node for node in self.model.graph.node for name in node.output}
        self._held = {tensor.name: tensor for tensor in self.model.graph.initializer}

    def constant(self, name: str) -> Array | None:
        """The value of an initializer; None for what is computed."""
        tensor = self._held.get(name)
        return None if tensor is None else np.asarray(numpy_helper.to_array(tensor, str(self.folder)))

    def constants(self, node: NodeProto) -> list[bytes]:
        """The bytes of every initializer that a node takes."""
        return [value.tobytes() for value in map(self.constant, node.input) if value is not None]


def taps(source: Graph, variant: Graph) -> tuple[Tap, ...]:
    """Every tensor that a layer of the source makes and that is quantized, or made by quantized arithmetic."""
    pairs = _pairs(source, variant)
    return tuple(
        Tap(
            *_layer(source, tensor),
            tensor,
            found,
            _quantizer(variant, found),
            _has_per_tensor_weights(variant, source, tensor),
            tuple(_nearest(source, tensor, pairs)),
        )
        for tensor, found in pairs.items()
    )


def _pairs(source: Graph, variant: Graph) -> dict[str, str]:
    """Tensor of the source -> its dequantized value in the variant."""
    pairs: dict[str, str] = {}
    for node in variant.model.graph.node:
        quantized = variant.producers.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if quantized is None or quantized.op_type != "QuantizeLinear":
            continue
        names = [name for name in (quantized.input[0], node.output[0]) if name in source.producers]
        if names and source.producers[names[0]].op_type not in _MOVES and not _is_rescaled(names[0], source, variant):
            pairs[names[0]] = node.output[0]
    for name, made in source.producers.items():
        if made.op_type in _LAYERS and name not in pairs and _is_changed(made, variant.producers.get(name)):
            pairs[name] = name
    return pairs


def _is_changed(before: NodeProto, after: NodeProto | None) -> bool:
    return after is not None and (before.op_type != after.op_type or list(before.input) != list(after.input))


def _is_rescaled(name: str, source: Graph, variant: Graph) -> bool:
    """A LayerNormalization that SmoothQuant was folded into gives other values, on purpose."""
    before, after = source.producers[name], variant.producers.get(name)
    if after is None or before.op_type != "LayerNormalization":
        return False
    return source.constants(before) != variant.constants(after)


def _layer(source: Graph, tensor: str) -> tuple[str, str]:
    node = source.producers[tensor]
    while node.op_type in _ACTIVATIONS | {"BatchNormalization"} and node.input[0] in source.producers:
        node = source.producers[node.input[0]]
    return node.name or node.output[0], node.op_type


def _quantizer(variant: Graph, tensor: str) -> Quantizer | None:
    node = variant.producers[tensor]
    if node.op_type != "DequantizeLinear":
        return None
    scale = variant.constant(node.input[1])
    zero = variant.constant(node.input[2]) if len(node.input) > 2 else np.zeros((), np.uint8)
    if scale is None or zero is None or scale.size != 1 or zero.dtype.kind not in "iu":
        return None
    bounds = np.iinfo(zero.dtype)
    return Quantizer(float(scale.item()), int(zero.item()), int(bounds.min), int(bounds.max))


def _has_per_tensor_weights(variant: Graph, source: Graph, tensor: str) -> bool:
    name, _ = _layer(source, tensor)
    node = next((node for node in variant.model.graph.node if node.name == name), None)
    weights = variant.producers.get(node.input[1]) if node is not None and len(node.input) > 1 else None
    if weights is None or weights.op_type != "DequantizeLinear" or weights.input[0] in variant.producers:
        return False
    scale = variant.constant(weights.input[1])
    return scale is not None and scale.size == 1


def _nearest(source: Graph, tensor: str, pairs: dict[str, str]) -> Iterator[str]:
    seen: set[str] = set()
    waiting = list(source.producers[tensor].input)
    while waiting:
        name = waiting.pop()
        if name in seen or name not in source.producers:
            continue
        seen.add(name)
        if name in pairs:
            yield name
        else:
            waiting.extend(source.producers[name].input)
