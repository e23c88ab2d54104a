"""The user's PyTorch module that a source came from. Imported only where torch is: in an environment of its own.

The module is called with the source's inputs, in the order of its signature, and gives a tensor, or a tuple, list or
dict of them, in the order of its outputs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from engines import onnxruntime_engine
from engines.engine import Array, Arrays
from engines.errors import QuantizeError
from engines.quantize.answers import as_taken
from engines.quantize.recipe import Source
from engines.quantize.rows import Rows
from engines.quantize.user_code import load_function
from engines.samples import sample_inputs
from engines.signature import Signature

_ROWS = 8
# Of the largest value that the source answers. Sums in another order differ by far less, other weights by far more.
_TOLERANCE = 1e-3


def load_network(source: Source, rows: Rows | None) -> nn.Module:
    """Ask the user's function for it; gives it in eval mode, once it was seen to answer as the source does.

    Compared are a few of the rows, or made-up inputs where there are none. Raises QuantizeError.
    """
    assert source.network is not None
    network = call(source.network)
    if not isinstance(network, nn.Module):
        raise QuantizeError(f"{source.network} gave {type(network).__name__}; it must give a torch.nn.Module")
    network.eval()
    if rows is None:
        inputs = sample_inputs(source.signature, _ROWS, seed=0)
    else:
        inputs = next(as_taken(next(iter(rows.batches(_ROWS))).inputs, source.signature))
    _compare(source, network, inputs)
    return network


def call(name: str, *arguments: Any) -> Any:
    """Call the user's `module:function`. Raises QuantizeError for whatever it raises."""
    function = load_function(name)
    try:
        return function(*arguments)
    except Exception as error:
        raise QuantizeError(f"{name} failed with {type(error).__name__}: {error}") from error


def modules_of(network: nn.Module, source: Source, nodes: Sequence[str]) -> list[str]:
    """The submodules whose weights these nodes of the source take, by their names in the network.

    An exporter keeps the names of weights. Raises QuantizeError for a node that is not there or has no such weights.
    """
    known = {name for name, _ in network.named_modules() if name}
    graph = onnx.load(source.path, load_external_data=False).graph
    owners = {
        node.name or node.output[0]: [owner for taken in node.input if (owner := taken.rpartition(".")[0]) in known]
        for node in graph.node
    }
    for node in nodes:
        if not owners.get(node):
            raise QuantizeError(
                f"{node!r} cannot be left out: it takes no weights under the name that they have in {source.network}"
            )
    return [owners[node][0] for node in nodes]


def tensors(inputs: Arrays, signature: Signature) -> tuple[Tensor, ...]:
    """The inputs as the module takes them."""
    return tuple(torch.tensor(inputs[spec.name]) for spec in signature.inputs)


def in_order(answer: Any) -> tuple[Tensor, ...]:
    """What a module answers, as a tuple of tensors."""
    if isinstance(answer, Mapping):
        return tuple(answer.values())
    return tuple(answer) if isinstance(answer, Sequence) else (answer,)


def _compare(source: Source, network: nn.Module, inputs: Arrays) -> None:
    try:
        with torch.no_grad():
            found = [tensor.numpy() for tensor in in_order(network(*tensors(inputs, source.signature)))]
    except Exception as error:
        raise QuantizeError(
            f"the module of {source.network} does not run the model's inputs, in their order "
            f"({', '.join(f'{name} {array.dtype} {list(array.shape)}' for name, array in inputs.items())}): {error}"
        ) from error
    for spec, expected, answer in zip(source.signature.outputs, _answers(source, inputs), found, strict=False):
        if expected.shape != answer.shape:
            raise _another(source, f"{spec.name!r} has shape {list(answer.shape)} instead of {list(expected.shape)}")
        scale = float(np.abs(expected).max(initial=0.0))
        difference = float(np.abs(answer.astype(np.float64) - expected).max(initial=0.0))
        if not difference <= _TOLERANCE * scale:
            raise _another(source, f"{spec.name!r} differs by {difference:.2g}, where values go up to {scale:.2g}")
    if len(found) != len(source.signature.outputs):
        raise _another(source, f"it gives {len(found)} outputs instead of {len(source.signature.outputs)}")


def _answers(source: Source, inputs: Arrays) -> list[Array]:
    engine = onnxruntime_engine.load(source.path, source.signature, instances=1, threads=1)
    try:
        answers = engine.runner().run(inputs)
    finally:
        engine.close()
    return [answers[spec.name] for spec in source.signature.outputs]


def _another(source: Source, why: str) -> QuantizeError:
    return QuantizeError(
        f"the module of {source.network} is not this model: {why}; "
        "give the one that the model was exported from, with its weights"
    )
