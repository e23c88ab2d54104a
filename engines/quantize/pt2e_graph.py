"""PyTorch 2 export quantization (PT2E): a module, its graph with quantizers, and the Q/DQ ONNX file of that.

Imported only where torch is: in an environment of its own.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import ModelProto
from torch import nn
from torch.fx import GraphModule
from torchao.quantization.pt2e import allow_exported_model_train_eval
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e, prepare_qat_pt2e

from engines.errors import QuantizeError
from engines.quantize.answers import as_taken
from engines.quantize.gemm_bias import quantize_gemm_biases
from engines.quantize.network import tensors
from engines.quantize.onnxruntime_write import keep_float
from engines.quantize.pt2e_quantizer import OnnxRuntimeQuantizer
from engines.quantize.recipe import Progress
from engines.quantize.rows import Rows
from engines.quantize.spatial_mean import pool_spatial_means
from engines.samples import sample_inputs
from engines.signature import Signature

_OPSET = 18
_BATCH_ROWS = 16
_EXAMPLE_ROWS = 2  # a batch of one would be taken for a constant

Run = Callable[[nn.Module], None]
"""Runs rows through a module: to calibrate it, or to train it."""


def quantized(network: nn.Module, signature: Signature, quantizer: OnnxRuntimeQuantizer, run: Run) -> GraphModule:
    """The module's graph in INT8, with scales from the values that `run` lets it see.

    Where the quantizer `trains`, `run` gets a module in train mode that rounds as INT8 does, and changes its weights.
    Raises QuantizeError for a module that cannot be exported.
    """
    prepare = prepare_qat_pt2e if quantizer.trains else prepare_pt2e
    prepared = allow_exported_model_train_eval(prepare(_exported(network, signature), quantizer))
    prepared.train(quantizer.trains)
    with torch.set_grad_enabled(quantizer.trains):
        run(prepared)
    prepared.eval()
    converted: GraphModule = convert_pt2e(prepared)
    return converted


def calibrate(module: nn.Module, signature: Signature, rows: Rows, progress: Progress) -> None:
    """Run all rows through a module, some at a time."""
    done = 0
    for batch in rows.batches(_BATCH_ROWS):
        for inputs in as_taken(batch.inputs, signature):
            module(*tensors(inputs, signature))
        done += len(next(iter(batch.inputs.values())))
        progress("calibrating", 0.2 + 0.6 * done / rows.count)


def write_onnx(graph: GraphModule, signature: Signature, path: Path) -> ModelProto:
    """Write the Q/DQ model, with the names of the signature; gives what was written.

    Raises QuantizeError where nothing in it is quantized.
    """
    program = torch.onnx.export(
        graph,
        _example(signature),
        input_names=[spec.name for spec in signature.inputs],
        output_names=[spec.name for spec in signature.outputs],
        dynamic_shapes=_dynamic(signature),
        opset_version=_OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = _without_traces(program.model_proto)
    if not any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        raise QuantizeError("there is nothing to quantize in this module, or all of it was left out")
    pool_spatial_means(model)
    quantize_gemm_biases(model)
    onnx.save(model, path)
    keep_float(path, _float_layers(model))
    return model


def _exported(network: nn.Module, signature: Signature) -> GraphModule:
    try:
        program = torch.export.export(network, _example(signature), dynamic_shapes=_dynamic(signature))
    except Exception as error:
        raise QuantizeError(f"torch cannot export the module: {error}") from error
    exported: GraphModule = program.module()
    return exported


def _example(signature: Signature) -> tuple[torch.Tensor, ...]:
    return tensors(sample_inputs(signature, _EXAMPLE_ROWS, seed=0), signature)


def _dynamic(signature: Signature) -> tuple[dict[int, Any], ...]:
    """What is dynamic of each input: the batch, the same in all of them, and what else the signature leaves open."""
    batch = torch.export.Dim("N")
    return tuple(
        {
            axis: batch if axis == signature.batch_axis else torch.export.Dim.DYNAMIC
            for axis, size in enumerate(spec.shape or ())
            if size == -1
        }
        for spec in signature.inputs
    )


def _float_layers(model: ModelProto) -> list[str]:
    """What was left out, by name."""
    held = {tensor.name for tensor in model.graph.initializer}
    return [node.name for node in model.graph.node if len(node.input) > 1 and node.input[1] in held]


def _without_traces(model: ModelProto) -> ModelProto:
    """Take out what the exporter notes about its source: stack traces, module names and the paths of files."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    return model
