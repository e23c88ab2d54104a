"""SmoothQuant: what is hard to quantize in a transformer's activations moves into the weights that they meet.

A few channels behind a LayerNormalization are far larger than the others and take the range of all. Each channel is
divided by a factor, and the rows of the weights are multiplied by it: in FP32 the model computes what it did before.
Source: Xiao et al., arXiv 2211.10438.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engines.engine import Array
from engines.onnx_walk import nodes_of
from engines.quantize.activations import activations
from engines.quantize.rows import Rows
from engines.quantize.weights import drop_unused, weighted

NOTHING_TO_SMOOTH = "the model has no LayerNormalization in front of a MatMul with constant FP32 weights"
_STRENGTH = 0.7  # 0 leaves the activations as they are, 1 evens them out


class Place(NamedTuple):
    """A LayerNormalization and the products with constant weights that take what it makes."""

    norm: NodeProto
    products: list[NodeProto]
    feeds_others: bool
    """Whether anything else takes it too, as the residual does in BERT."""


def smooth(path: Path, rows: Rows) -> int:
    """Rewrite the file, which holds all of its weights; gives the number of normalisations that were smoothed."""
    model = onnx.load(path)
    found = places(model)
    largest = _largest(path, [place.norm.output[0] for place in found], rows)
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    for place in found:
        _smooth(model, held, place, largest[place.norm.output[0]])
    drop_unused(model)
    onnx.save(model, path)
    return len(found)


def places(model: ModelProto) -> list[Place]:
    """All that can be smoothed, in the order of the graph."""
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    products = [node for node in weighted(model, {"MatMul"}) if _is_matrix(held, node.input[1])]
    return [
        Place(norm, own, feeds_others=_uses(model, norm.output[0]) != len(own))
        for norm in model.graph.node
        if norm.op_type == "LayerNormalization" and _is_by_channel(held, norm)
        if (own := [node for node in products if node.input[0] == norm.output[0]])
    ]


def factors(largest: Array, weights: list[Array]) -> Array:
    """By which each channel is divided: largest^a / (largest weight of its row)^(1-a); 1 where either is 0."""
    rows = np.max([np.abs(one).max(axis=1) for one in weights], axis=0)
    usable = (largest > 0) & (rows > 0)
    powers = np.where(usable, largest, 1) ** _STRENGTH / np.where(usable, rows, 1) ** (1 - _STRENGTH)
    return np.asarray(np.where(usable, powers, 1), np.float32)


def _smooth(model: ModelProto, held: dict[str, TensorProto], place: Place, largest: Array) -> None:
    """Every changed constant is a new one: exporters let nodes share them."""
    by = factors(largest, [numpy_helper.to_array(held[node.input[1]]) for node in place.products])
    for node in place.products:
        weights = numpy_helper.to_array(held[node.input[1]])
        node.input[1] = _add(model, weights * by[:, np.newaxis], f"{node.name}_smoothed")
    if place.feeds_others:
        _divide_before(model, place, by)
        return
    for position, name in enumerate(place.norm.input):
        if position > 0 and name:
            values = numpy_helper.to_array(held[name]) / by
            place.norm.input[position] = _add(model, values, f"{place.norm.name}_smoothed_{position}")


def _divide_before(model: ModelProto, place: Place, by: Array) -> None:
    made = place.norm.output[0]
    divided = f"{place.norm.name}_smoothed"
    divisor = _add(model, 1 / by, f"{divided}_by")
    for node in place.products:
        node.input[0] = divided
    position = [node.output[0] for node in model.graph.node].index(made)
    model.graph.node.insert(position + 1, helper.make_node("Mul", [made, divisor], [divided], name=divided))


def _largest(path: Path, tensors: list[str], rows: Rows) -> dict[str, Array]:
    """The largest absolute value of each channel, which is the last axis."""
    largest: dict[str, Array] = {}
    for batch in activations(path, tensors, rows):
        for name, values in batch.items():
            own = np.abs(values).reshape(-1, values.shape[-1]).max(axis=0)
            largest[name] = np.maximum(largest.get(name, own), own)
    return largest


def _add(model: ModelProto, values: Array, name: str) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
    return name


def _uses(model: ModelProto, tensor: str) -> int:
    taken = [name for node in nodes_of(model) for name in node.input] + [value.name for value in model.graph.output]
    return taken.count(tensor)


def _is_matrix(held: dict[str, TensorProto], name: str) -> bool:
    return name in held and len(held[name].dims) == 2


def _is_by_channel(held: dict[str, TensorProto], norm: NodeProto) -> bool:
    return all(name in held and len(held[name].dims) == 1 for name in list(norm.input)[1:] if name)
