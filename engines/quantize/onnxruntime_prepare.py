"""The model as ONNX Runtime's quantizers want it: shapes inferred, constants folded, every node named."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import onnx
from onnx import ModelProto, NodeProto
from onnxruntime.quantization.shape_inference import quant_pre_process

from engines.errors import QuantizeError
from engines.quantize.spatial_mean import pool_spatial_means

PREPARED = "prepared.onnx"
"""The name of the file that `prepare` writes into its folder."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A copy of the source that runs no slower and is easier to quantize."""

    path: Path
    excluded: list[str]
    """Names of its nodes that stay as they are."""


def prepare(source: Path, folder: Path, exclude: tuple[str, ...]) -> Prepared:
    """Write it into `folder`. `exclude` names nodes of the source; raises QuantizeError for one that it has not."""
    path = folder / PREPARED
    with quiet():
        try:
            quant_pre_process(source, path, skip_symbolic_shape=True)
        except Exception as error:  # it raises whatever onnx and ONNX Runtime raise
            raise QuantizeError(f"the model cannot be prepared for quantization: {error}") from error
    model = onnx.load(path)
    for node in model.graph.node:
        node.name = _name(node)
    pool_spatial_means(model)
    onnx.save(model, path)
    return Prepared(path, excluded_nodes(onnx.load(source, load_external_data=False), model, exclude))


def excluded_nodes(source: ModelProto, prepared: ModelProto, exclude: tuple[str, ...]) -> list[str]:
    """The nodes of the prepared model that stand for these of the source.

    Preparing fuses nodes and may rename them: a node is found by what it makes, or by the first tensor that is made of
    that and is still there. A node without a name goes by the name of its output.
    """
    nodes = {_name(node): node for node in source.graph.node}
    makers = {output: node.name for node in prepared.graph.node for output in node.output}
    takers = {tensor: node for node in reversed(source.graph.node) for tensor in node.input}
    return sorted({_standing_for(_found(name, nodes), makers, takers) for name in exclude} - {""})


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back what is logged at the root: the quantizers advise what is being done here."""
    root = logging.getLogger()
    silent = logging.NullHandler()  # with no handler at all, logging would set one up for the whole process
    root.addHandler(silent)
    root.addFilter(_nothing)
    try:
        yield
    finally:
        root.removeFilter(_nothing)
        root.removeHandler(silent)


def _nothing(_: logging.LogRecord) -> bool:
    return False


def _name(node: NodeProto) -> str:
    return str(node.name or node.output[0])


def _found(name: str, nodes: dict[str, NodeProto]) -> NodeProto:
    if name in nodes:
        return nodes[name]
    near = get_close_matches(name, nodes, n=3, cutoff=0.4) or list(nodes)[:3]
    raise QuantizeError(f"the model has no node {name!r} to exclude; near it are: {', '.join(near)}")


def _standing_for(node: NodeProto, makers: dict[str, str], takers: dict[str, NodeProto]) -> str:
    """Empty for a node that was folded away."""
    current: NodeProto | None = node
    while current is not None:
        if current.output[0] in makers:
            return makers[current.output[0]]
        current = takers.get(current.output[0])
    return ""
