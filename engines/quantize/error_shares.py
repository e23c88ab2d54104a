"""Where the error of a variant's answers comes from: how much of it each layer would cause by itself.

The last layers have the worst signal-to-noise, for they inherit what went wrong before them; leaving those out mends
little. So each error is looked at alone. The variant is cut at every tensor that is compared, and each piece is fed
with what the source computes there: what a piece then makes differs by its own error only. This error is added at its
place in the source, and the change of the outputs is what it does. Rounding errors hardly know of each other, so the
powers of these changes add up to about that of the whole error.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from engines.engine import Array, Arrays
from engines.quantize.activations import open_at
from engines.quantize.layer_graph import Graph, Tap


def error_shares(source: Graph, variant: Graph, found: Sequence[Tap], rows: Iterable[Arrays]) -> dict[str, float]:
    """Node of the source -> the share of the outputs' noise that would go if it stayed as it is; all add up to 1.

    `found` are tensors of float32 in both, `rows` one by one as the model takes them.
    """
    if not found:
        return {}
    readers = {tap.tensor: _readers(tap, source, variant) for tap in found}
    powers: defaultdict[str, float] = defaultdict(float)
    for tensor, power in _powers(source, variant, found, readers, rows):
        powers[tensor] += power
    total = sum(powers.values()) or 1.0
    shares: defaultdict[str, float] = defaultdict(float)
    for tap in found:
        blamed = [reader.name or reader.output[0] for reader in readers[tap.tensor]] or [tap.node]
        for node in blamed:
            shares[node] += powers[tap.tensor] / total / len(blamed)
    return dict(shares)


def _readers(tap: Tap, source: Graph, variant: Graph) -> list[NodeProto]:
    """The products for whose sake the tensor is quantized: what else takes it takes it in float, and so does a product
    that is left out. Between convolutions it stays quantized, whatever is left out.
    """
    if tap.quantizer is None:
        return []
    taking = (node for node in variant.model.graph.node if tap.variant_tensor in node.input)
    twins = (source.producers.get(node.output[0]) for node in taking)
    return [twin for twin in twins if twin is not None and twin.op_type in ("MatMul", "Gemm")]


def _powers(
    source: Graph,
    variant: Graph,
    found: Sequence[Tap],
    readers: Mapping[str, Sequence[NodeProto]],
    rows: Iterable[Arrays],
) -> Iterator[tuple[str, float]]:
    """For each row and tensor: the power of the change that the tensor's own error makes to the outputs."""
    tensors, own = [tap.tensor for tap in found], [tap.variant_tensor for tap in found]
    whole = open_at(source.model, tensors, source.folder)
    pieces, shifted = _pieces(variant, own), _shifted(source, readers)
    still = {_shift(tensor): np.zeros((), np.float32) for tensor in tensors}
    for row in rows:
        values = whole.run(tensors, row)
        given = dict(zip(map(_given, own), values, strict=True))
        expected = shifted.run(None, {**row, **still})
        for tensor, value, made in zip(tensors, values, pieces.run(own, {**row, **given}), strict=True):
            answers = shifted.run(None, {**row, **still, _shift(tensor): made - value})
            yield tensor, sum(map(_power, expected, answers))


def _pieces(variant: Graph, cut: Sequence[str]) -> onnxruntime.InferenceSession:
    """The variant, in which these tensors are made as ever, but what takes them takes an input instead."""
    model = _copy(variant)
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            if name in cut:
                node.input[position] = _given(name)
    model.graph.input.extend(_floats(_given(name)) for name in cut)
    return open_at(model, cut, variant.folder)


def _shifted(source: Graph, readers: Mapping[str, Sequence[NodeProto]]) -> onnxruntime.InferenceSession:
    """The source, where an input is added to each of these tensors: for its readers, or for all if it has none."""
    model = _copy(source)
    nodes = list(model.graph.node)
    for node in nodes:
        for position, name in enumerate(node.input):
            if name in readers and (not readers[name] or node.output[0] in {one.output[0] for one in readers[name]}):
                node.input[position] = _shifted_name(name)
    for value in model.graph.output:
        if value.name in readers and not readers[value.name]:
            value.name = _shifted_name(value.name)
    del model.graph.node[:]
    for node in nodes:
        model.graph.node.append(node)
        model.graph.node.extend(
            helper.make_node("Add", [name, _shift(name)], [_shifted_name(name)])
            for name in node.output
            if name in readers
        )
    model.graph.input.extend(_floats(_shift(name)) for name in readers)
    return open_at(model, [value.name for value in model.graph.output], source.folder)


def _copy(graph: Graph) -> ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    return model


def _floats(name: str) -> ValueInfoProto:
    """An input of float32 in any shape."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def _given(tensor: str) -> str:
    return f"{tensor}_given"


def _shift(tensor: str) -> str:
    return f"{tensor}_shift"


def _shifted_name(tensor: str) -> str:
    return f"{tensor}_shifted"


def _power(expected: Array, found: Array) -> float:
    """Of a difference between floats."""
    if expected.dtype.kind != "f":
        return 0.0
    return float(((found.astype(np.float64) - expected) ** 2).sum())
