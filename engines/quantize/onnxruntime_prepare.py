"""The model as ONNX Runtime's quantizers want it: shapes inferred, constants folded, in the form that they know."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnxruntime.quantization.shape_inference import quant_pre_process

from engines.errors import QuantizeError
from engines.quantize.excluded import node_name, standing_for
from engines.quantize.plain_form import flatten_biases, hold_constants, modern
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
            model = modern(onnx.load(source))
            hold_constants(model)
            onnx.save(model, path)
            quant_pre_process(path, path, skip_symbolic_shape=True)
        except Exception as error:  # it raises whatever onnx and ONNX Runtime raise
            raise QuantizeError(f"the model cannot be prepared for quantization: {error}") from error
    model = onnx.load(path)
    for node in model.graph.node:
        node.name = node_name(node)
    flatten_biases(model)
    pool_spatial_means(model)
    onnx.save(model, path)
    makers = {output: node.name for node in model.graph.node for output in node.output}
    return Prepared(path, standing_for(onnx.load(source, load_external_data=False), makers, exclude))


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
