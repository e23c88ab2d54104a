"""Means over all positions of an image, as the pooling that ONNX Runtime has in INT8.

Exporters write `AdaptiveAvgPool2d(1)` as a ReduceMean, which is computed in float between two conversions.
"""

from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from engines.quantize.weights import drop_unused

_RANKS = range(3, 6)  # batch, channels, and one to three axes of positions


def pool_spatial_means(model: ModelProto) -> None:
    """Make each ReduceMean over exactly the axes of positions a GlobalAveragePool, which says the same.

    `model` knows its shapes (`value_info`), and its constants are initializers.
    """
    ranks = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*model.graph.input, *model.graph.value_info)
        if value.type.tensor_type.HasField("shape")
    }
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "ReduceMean" or (rank := ranks.get(node.input[0], 0)) not in _RANKS:
            continue
        attributes = {attribute.name: attribute for attribute in node.attribute}
        keeps = "keepdims" not in attributes or attributes["keepdims"].i == 1
        if keeps and sorted(axis % rank for axis in _axes(node, constants)) == list(range(2, rank)):
            node.op_type = "GlobalAveragePool"
            del node.input[1:], node.attribute[:]
    drop_unused(model)


def _axes(node: NodeProto, constants: dict[str, TensorProto]) -> list[int]:
    """By attribute up to opset 17, by input since; none where they are computed or not given."""
    for attribute in node.attribute:
        if attribute.name == "axes":
            return list(attribute.ints)
    given = constants.get(node.input[1]) if len(node.input) > 1 else None
    return [] if given is None else [int(axis) for axis in numpy_helper.to_array(given)]
