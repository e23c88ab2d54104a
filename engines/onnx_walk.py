"""Every node, tensor and text of an ONNX model, those in subgraphs and functions included."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto


def nodes_of(model: ModelProto) -> Iterator[NodeProto]:
    """All nodes of the graph, of its subgraphs, and of the model's own functions."""
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        yield from flat(nodes)


def flat(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """The nodes, each followed by those of its subgraphs."""
    for node in nodes:
        yield node
        for graph in _graphs(node.attribute):
            yield from flat(graph.node)


def tensors_of(model: ModelProto) -> Iterator[TensorProto]:
    """All tensors that the file holds or refers to: initializers, constants, and the parts of sparse ones."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        yield from _attribute_tensors(function.attribute_proto)
        for node in function.node:
            yield from _attribute_tensors(node.attribute)


def texts_of(message: Any) -> Iterator[str | bytes]:
    """All text fields of a model or of a part of it; protobuf gives bytes where they are not UTF-8."""
    for field, found in message.ListFields():
        if field.type == field.TYPE_STRING:
            yield from [found] if isinstance(found, str | bytes) else found
        elif field.type == field.TYPE_MESSAGE:
            for part in [found] if hasattr(found, "ListFields") else found:
                yield from texts_of(part)


def _graph_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _attribute_tensors(node.attribute)


def _attribute_tensors(attributes: Iterable[AttributeProto]) -> Iterator[TensorProto]:
    for attribute in attributes:
        yield from chain([attribute.t] if attribute.HasField("t") else [], attribute.tensors)
        one = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
        for sparse in chain(one, attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
    for graph in _graphs(attributes):
        yield from _graph_tensors(graph)


def _graphs(attributes: Iterable[AttributeProto]) -> Iterator[GraphProto]:
    for attribute in attributes:
        yield from chain([attribute.g] if attribute.HasField("g") else [], attribute.graphs)
