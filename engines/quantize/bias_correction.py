"""Bias correction: what quantizing shifts in the mean of a layer's output is taken off its bias again.

Rounded weights no longer add up to the same, so a channel's mean moves, and the shift grows from layer to layer.
Layers are corrected one after the other, each behind those that are corrected already, after batch normalization was
folded into them. Source: Nagel et al., arXiv 1906.04721, section 4.2 and appendix D (empirical bias correction).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, numpy_helper

from engines.engine import Array, Arrays
from engines.errors import QuantizeError
from engines.quantize.activations import open_at
from engines.quantize.answers import rows_apart
from engines.quantize.onnxruntime_prepare import PREPARED
from engines.quantize.onnxruntime_static import STATIC, Static
from engines.quantize.recipe import Made, Options, Progress, Source
from engines.quantize.rows import Rows

_ROWS = 128  # held in memory, for each layer sees them all; the mean of a channel needs no more
_LAYERS = {"Conv", "Gemm", "MatMul"}
_INT32 = np.iinfo(np.int32)


@dataclass(frozen=True, slots=True)
class Corrected:
    """A recipe: another one, then bias correction; see `engines.quantize.recipe.Recipe`."""

    name: str
    summary: str
    base: Static
    is_candidate: bool = False
    engine: str = "onnxruntime"
    needs: tuple[str, ...] = ()
    tool: str | None = None
    calibrates: bool = True

    def refuses(self, source: Source) -> str | None:
        return self.base.refuses(source)

    def make(self, source: Source, rows: Rows | None, folder: Path, options: Options, progress: Progress) -> Made:
        made = self.base.make(source, rows, folder, options, progress)
        assert rows is not None, "the base refuses to work without"
        some = _some_rows(source, rows)
        model = onnx.load(made.main)
        corrected = correct(onnx.load(folder / PREPARED), model, some, progress)
        onnx.save(model, made.main)
        details = {**made.details, "bias_correction": {"layers": corrected, "rows": len(some)}}
        return Made(made.main, made.external, details)


CORRECTED = (Corrected("int8-corrected", "static INT8, then the mean error of each channel taken off", STATIC[0]),)


@dataclass(frozen=True, slots=True)
class _Bias:
    """The bias of one quantized layer."""

    layer: NodeProto
    initializer: str
    scale: Array
    """What one step of the initializer means: 1 where it is float."""


def correct(reference: ModelProto, model: ModelProto, rows: Sequence[Arrays], progress: Progress) -> int:
    """Correct the biases of a Q/DQ model, which this changes; gives how many.

    `reference` is the model that was quantized; layers are found in it by their names. Raises QuantizeError, also
    where there is nothing to correct.
    """
    layers = {node.name: node for node in reference.graph.node}
    biases = [bias for bias in _biases(model) if bias.layer.name in layers]
    if not biases:
        raise QuantizeError("no quantized layer has a bias of its own to correct; take the recipe int8 instead")
    expected = _means(reference, [layers[bias.layer.name] for bias in biases], rows)
    for done, bias in enumerate(biases):
        progress("correcting biases", done / len(biases))
        (found,) = _means(model, [bias.layer], rows)
        _subtract(model, bias, found - expected[done])
    return len(biases)


def _biases(model: ModelProto) -> list[_Bias]:
    """Those of layers with quantized weights, in the order of computation; a bias that layers share is left alone."""
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {node.output[0]: node for node in model.graph.node}
    takers = defaultdict(list)
    for node in model.graph.node:
        for tensor in node.input:
            takers[tensor].append(node)
    layers = [
        node for node in model.graph.node if node.op_type in _LAYERS and _is_dequantized(makers.get(node.input[1]))
    ]
    return [
        _Bias(layer, name, numpy_helper.to_array(held[scale]) if scale else np.ones(()))
        for layer in layers
        for name, scale in (_added(layer, takers) if layer.op_type == "MatMul" else _own(layer, makers))
        if name in held and len(takers[name]) == 1 and len(held[name].dims) == 1
    ]


def _own(layer: NodeProto, makers: Mapping[str, NodeProto]) -> list[tuple[str, str]]:
    """The integers that are dequantized to its bias, and their scale."""
    made = makers.get(layer.input[2]) if len(layer.input) > 2 else None
    return [(made.input[0], made.input[1])] if made is not None and _is_dequantized(made) else []


def _added(layer: NodeProto, takers: Mapping[str, list[NodeProto]]) -> list[tuple[str, str]]:
    """What is added to its output; there is no scale, as it is float."""
    nodes = takers[layer.output[0]]
    return [(name, "") for node in nodes if len(nodes) == 1 and node.op_type == "Add" for name in node.input]


def _is_dequantized(maker: NodeProto | None) -> bool:
    return maker is not None and maker.op_type == "DequantizeLinear"


def _means(model: ModelProto, layers: Sequence[NodeProto], rows: Sequence[Arrays]) -> list[Array]:
    """The mean of every channel that these layers put out."""
    session = open_at(model, [layer.output[0] for layer in layers])
    sums = [np.zeros(())] * len(layers)
    for row in rows:
        for place, (layer, found) in enumerate(zip(layers, session.run(None, row), strict=True)):
            channel = 1 if layer.op_type == "Conv" else found.ndim - 1
            others = tuple(axis for axis in range(found.ndim) if axis != channel)
            sums[place] = sums[place] + found.mean(axis=others, dtype=np.float64)
    return [np.asarray(total / len(rows)) for total in sums]


def _subtract(model: ModelProto, bias: _Bias, shift: Array) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == bias.initializer)
    before = numpy_helper.to_array(tensor)
    after = before - shift / bias.scale
    if before.dtype == np.int32:
        after = np.clip(np.rint(after), _INT32.min, _INT32.max)
    tensor.CopyFrom(numpy_helper.from_array(after.astype(before.dtype), tensor.name))


def _some_rows(source: Source, rows: Rows) -> list[Arrays]:
    apart = (rows_apart(batch.inputs, source.signature) for batch in rows.batches(16))
    return list(islice(chain.from_iterable(apart), _ROWS))
