"""SmoothQuant: what is hard to quantize in a transformer's activations moves into the weights that they meet.

A few channels behind a normalization are far larger than the others and take the range of all. Each channel is divided
by a factor, and the rows of the weights are multiplied by it: in FP32 the model computes what it did before.
Source: Xiao et al., arXiv 2211.10438.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engines.engine import Array
from engines.onnx_walk import nodes_of
from engines.quantize.activations import activations
from engines.quantize.rows import Rows
from engines.quantize.weights import add_constant, drop_unused, held_constants, products, unfuse

NOTHING_TO_SMOOTH = "the model has no normalization in front of a MatMul or Gemm with constant FP32 weights"
_STRENGTH = 0.7  # 0 leaves the activations as they are, 1 evens them out


class Vector(NamedTuple):
    """A constant with a value for each channel, and where it is taken."""

    node: NodeProto
    position: int

    @property
    def name(self) -> str:
        """The constant's."""
        return str(self.node.input[self.position])


class Place(NamedTuple):
    """A normalized tensor and the products with constant weights that take it."""

    norm: NodeProto
    """The last node of the normalization."""
    vectors: list[Vector]
    """By what it multiplies and what it adds, for each channel: what makes the tensor is linear in them."""
    products: list[NodeProto]
    feeds_others: bool
    """Whether anything else takes it too, as the residual does in BERT."""


def smooth(path: Path, rows: Rows) -> int:
    """Rewrite the file, which holds all of its weights; gives the number of normalizations that were smoothed."""
    model = onnx.load(path)
    unfuse(model, [node for place in places(model) for node in place.products])
    found = places(model)
    largest = _largest(path, [place.norm.output[0] for place in found], rows)
    held = held_constants(model)
    for place in found:
        _smooth(model, held, place, largest[place.norm.output[0]])
    drop_unused(model)
    onnx.save(model, path)
    return len(found)


def places(model: ModelProto) -> list[Place]:
    """All that can be smoothed, in the order of the graph."""
    held, uses, multiplying = held_constants(model), _uses(model), products(model)
    makers = {name: node for node in model.graph.node for name in node.output}
    return [
        Place(norm, vectors, own, feeds_others=uses[norm.output[0]] != len(own))
        for norm in model.graph.node
        if (own := [node for node in multiplying if node.input[0] == norm.output[0]])
        if (vectors := _vectors(norm, held, makers, uses))
    ]


def factors(largest: Array, weights: list[Array]) -> Array:
    """By which each channel is divided: largest^a / (largest weight of its row)^(1-a); 1 where either is 0."""
    rows = np.max([np.abs(one).max(axis=1) for one in weights], axis=0)
    usable = (largest > 0) & (rows > 0)
    powers = np.where(usable, largest, 1) ** _STRENGTH / np.where(usable, rows, 1) ** (1 - _STRENGTH)
    return np.asarray(np.where(usable, powers, 1), np.float32)


def _vectors(
    norm: NodeProto, held: Mapping[str, TensorProto], makers: Mapping[str, NodeProto], uses: Counter[str]
) -> list[Vector]:
    """Of a LayerNormalization, or of the Mul, and Add after it, in which one that is written out ends; else none."""
    own = [Vector(norm, place) for place, name in enumerate(norm.input) if name in held and _is_vector(held[name])]
    if norm.op_type == "LayerNormalization":
        return own if len(own) == len([name for name in norm.input if name]) - 1 else []
    if norm.op_type == "Mul":
        return own if len(own) == 1 else []
    if norm.op_type != "Add" or len(own) != 1:
        return []
    before = norm.input[1 - own[0].position]
    scaled = _vectors(makers[before], held, makers, uses) if before in makers and uses[before] == 1 else []
    return [*own, *scaled] if scaled and scaled[0].node.op_type == "Mul" else []


def _is_vector(tensor: TensorProto) -> bool:
    return len(tensor.dims) == 1 and tensor.dims[0] > 1


def _smooth(model: ModelProto, held: Mapping[str, TensorProto], place: Place, largest: Array) -> None:
    """Every changed constant is a new one: exporters let nodes share them."""
    by = factors(largest, [numpy_helper.to_array(held[node.input[1]]) for node in place.products])
    for node in place.products:
        weights = numpy_helper.to_array(held[node.input[1]])
        node.input[1] = add_constant(model, weights * by[:, np.newaxis], f"{node.name}_smoothed")
    if place.feeds_others:
        _divide_before(model, place, by)
        return
    for vector in place.vectors:
        values = numpy_helper.to_array(held[vector.name]) / by
        name = f"{vector.node.name}_smoothed_{vector.position}"
        vector.node.input[vector.position] = add_constant(model, values, name)


def _divide_before(model: ModelProto, place: Place, by: Array) -> None:
    made = place.norm.output[0]
    divided = f"{place.norm.name}_smoothed"
    divisor = add_constant(model, 1 / by, f"{divided}_by")
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


def _uses(model: ModelProto) -> Counter[str]:
    return Counter([name for node in nodes_of(model) for name in node.input] + [out.name for out in model.graph.output])
