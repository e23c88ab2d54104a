"""The nodes that are to stay as they are, found again in what became of the model."""

from collections.abc import Mapping
from difflib import get_close_matches

from onnx import ModelProto, NodeProto

from engines.errors import QuantizeError


def node_name(node: NodeProto) -> str:
    """A node without a name goes by that of its output."""
    return str(node.name or node.output[0])


def standing_for(source: ModelProto, makers: Mapping[str, str], exclude: tuple[str, ...]) -> list[str]:
    """The nodes that stand for these of the source, in a graph where `makers` says which node makes which tensor.

    Whatever changed the graph fuses nodes and may rename them: a node is found by what it makes, or by the first tensor
    that is made of that and is still there. Those that were folded away are left out. Raises QuantizeError for a name
    that the source has not.
    """
    nodes = {node_name(node): node for node in source.graph.node}
    takers = {tensor: node for node in reversed(source.graph.node) for tensor in node.input}
    return sorted({_standing_for(_found(name, nodes), makers, takers) for name in exclude} - {""})


def _found(name: str, nodes: dict[str, NodeProto]) -> NodeProto:
    if name in nodes:
        return nodes[name]
    near = get_close_matches(name, nodes, n=3, cutoff=0.4) or list(nodes)[:3]
    raise QuantizeError(f"the model has no node {name!r} to exclude; near it are: {', '.join(near)}")


def _standing_for(node: NodeProto, makers: Mapping[str, str], takers: dict[str, NodeProto]) -> str:
    """Empty for a node that was folded away."""
    current: NodeProto | None = node
    while current is not None:
        if current.output[0] in makers:
            return makers[current.output[0]]
        current = takers.get(current.output[0])
    return ""
