"""Inputs whose values pick entries of a table: beyond its end a GPU answers something instead of refusing."""

from onnx import ModelProto, NodeProto, helper

from engines.engine import Array, Arrays
from engines.errors import InputRefused

# What leaves the values as they are, or only gives them another type.
_PASSING = {"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose"}
# What gives a table of the same shape.
_SAME_SHAPE = {"Cast", "Identity", "QuantizeLinear", "DequantizeLinear"}


def index_bounds(model: ModelProto) -> dict[str, int]:
    """Input name -> entries of the smallest constant table that its values pick from.

    Indices that the model computes are its own affair: from an input they would have to be followed through arithmetic.
    """
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    tables = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    tables |= {node.output[0]: list(_constant(node)) for node in graph.node if node.op_type == "Constant"}
    inputs = {value.name for value in graph.input} - tables.keys()
    bounds: dict[str, int] = {}
    for node in graph.node:
        if node.op_type != "Gather":
            continue
        table, name = _origin(node.input[0], makers, _SAME_SHAPE), _origin(node.input[1], makers, _PASSING)
        if table in tables and name in inputs:
            size = tables[table][_axis(node)]
            bounds[name] = min(size, bounds.get(name, size))
    return bounds


def refuse_beyond(name: str, indices: Array, size: int) -> None:
    """Raises InputRefused for an index of the input `name` that is not in a table of so many entries."""
    if indices.size and not (-size <= indices.min() and indices.max() < size):
        worst = max(indices.max(), indices.min(), key=lambda index: abs(int(index)))
        raise InputRefused(
            f"the model refused these values: '{name}' holds {worst}, an index must be within [{-size},{size - 1}]"
        )


def refuse_indices(inputs: Arrays, bounds: dict[str, int]) -> None:
    """The same for every input that `index_bounds` found."""
    for name, size in bounds.items():
        refuse_beyond(name, inputs[name], size)


def _origin(name: str, makers: dict[str, NodeProto], through: set[str]) -> str:
    while name in makers and makers[name].op_type in through:
        name = makers[name].input[0]
    return name


def _axis(gather: NodeProto) -> int:
    return next((attribute.i for attribute in gather.attribute if attribute.name == "axis"), 0)


def _constant(node: NodeProto) -> tuple[int, ...]:
    """The shape of what a Constant holds."""
    value = helper.get_attribute_value(node.attribute[0])
    if hasattr(value, "dims"):
        return tuple(value.dims)
    return (len(value),) if isinstance(value, list) else ()
