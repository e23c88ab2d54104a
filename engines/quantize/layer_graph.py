"""Which tensors of a quantized ONNX graph stand for which of its source, and how each is quantized."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, numpy_helper

from engines.engine import Array
from engines.quantize.weights import held_constants

# What computes with weights: the layers of a network.
_LAYERS = {"Conv", "ConvTranspose", "MatMul", "Gemm", "Gather", "Attention", "LSTM", "GRU"}
# What only moves values, and adds no error of its own.
_MOVES = {
    *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Cast", "Dropout", "Expand", "Tile"),
    *("MaxPool", "Concat", "Split", "Slice", "Pad", "DequantizeLinear"),
}
# What a layer's output goes through first: the layer is still what is to be mended.
_BEHIND_LAYERS = {
    *("Relu", "Clip", "LeakyRelu", "PRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Elu", "Gelu", "Erf"),
    *("BatchNormalization", "QuantizeLinear", "DequantizeLinear"),
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
        self._takers: dict[str, NodeProto] = {name: node for node in self.model.graph.node for name in node.input}
        self._held = held_constants(self.model)

    def constant(self, name: str) -> Array | None:
        """Its value; None for what is computed."""
        tensor = self._held.get(name)
        return None if tensor is None else np.asarray(numpy_helper.to_array(tensor, str(self.folder)))

    def dtypes(self, node: NodeProto) -> list[int]:
        """Of every constant that a node takes, as ONNX counts them."""
        return [self._held[name].data_type for name in node.input if name in self._held]

    def is_dequantized(self, name: str) -> bool:
        """Whether a DequantizeLinear makes it."""
        return name in self.producers and self.producers[name].op_type == "DequantizeLinear"

    def layer(self, tensor: str) -> NodeProto:
        """The node that makes a tensor, or the one before it of which it is the bias, activation or rounding."""
        node = self.producers[tensor]
        while (before := self.producers.get(self._before(node) or "")) is not None:
            node = before
        return node

    def biased(self, name: str) -> str:
        """The sum of a tensor and a constant bias, where that follows; else the tensor."""
        taker = self._takers.get(name)
        return taker.output[0] if taker is not None and taker.op_type == "Add" and self._before(taker) == name else name

    def _before(self, node: NodeProto) -> str | None:
        if node.op_type in _BEHIND_LAYERS:
            return str(node.input[0])
        computed = [name for name in node.input if name not in self._held]
        if node.op_type != "Add" or len(computed) != 1 or computed[0] not in self.producers:
            return None
        return str(computed[0]) if self.producers[computed[0]].op_type in _LAYERS else None

    def constants(self, node: NodeProto) -> list[bytes]:
        """The bytes of every constant that a node takes."""
        return [value.tobytes() for value in map(self.constant, node.input) if value is not None]


def taps(source: Graph, variant: Graph) -> tuple[Tap, ...]:
    """Every tensor that a layer of the source makes and that is quantized, or made by quantized arithmetic."""
    pairs = _pairs(source, variant)
    return tuple(
        Tap(
            (layer := source.layer(tensor)).name or layer.output[0],
            layer.op_type,
            tensor,
            found,
            _quantizer(variant, found),
            _has_per_tensor_weights(variant, found),
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
        if made.op_type not in _LAYERS:
            continue
        tensor = name if name in variant.producers else source.biased(name)  # a bias may be fused into its layer
        if (
            tensor not in pairs
            and tensor in variant.producers
            and _is_changed(made, variant.layer(tensor), source, variant)
        ):
            pairs[tensor] = tensor
    return pairs


def _is_changed(before: NodeProto, after: NodeProto, source: Graph, variant: Graph) -> bool:
    """Whether a layer is computed otherwise than in the source: its weights may keep their name and lose their bits."""
    if list(before.input) == list(after.input) and source.dtypes(before) == variant.dtypes(after):
        return before.op_type != after.op_type
    takes_rounded = any(variant.is_dequantized(name) for name in after.input)
    return takes_rounded or after.op_type not in _LAYERS or onnx.TensorProto.FLOAT not in variant.dtypes(after)


def _is_rescaled(name: str, source: Graph, variant: Graph) -> bool:
    """A normalization that SmoothQuant was folded into gives other values, on purpose."""
    before, after = source.producers.get(name), variant.producers.get(name)
    if before is None or after is None:
        return False
    expected, found = source.constants(before), variant.constants(after)
    if before.op_type == "Add" and expected:
        return any(_is_rescaled(taken, source, variant) for taken in before.input)
    return before.op_type in ("LayerNormalization", "Mul") and found not in ([], expected)


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


def _has_per_tensor_weights(variant: Graph, tensor: str) -> bool:
    layer = variant.layer(tensor)
    if len(layer.input) < 2 or not variant.is_dequantized(layer.input[1]):
        return False
    weights = variant.producers[layer.input[1]]
    scale = None if weights.input[0] in variant.producers else variant.constant(weights.input[1])
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
