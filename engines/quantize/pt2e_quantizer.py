"""Where a PyTorch graph is quantized, for ONNX Runtime to compute in INT8. Imported only where torch is."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation
from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
    X86InductorQuantizer,
    get_default_x86_inductor_quantization_config,
)

_ANNOTATION = "quantization_annotation"
_ATEN = torch.ops.aten
_CONVOLUTIONS = {_ATEN.conv1d.default, _ATEN.conv2d.default}
_ADDITIONS = {_ATEN.add.Tensor, _ATEN.add_.Tensor}
# What ONNX Runtime computes along with the convolution or the addition before it.
_FUSED = {
    _ATEN.batch_norm.default,
    *(_ATEN.relu.default, _ATEN.relu_.default, _ATEN.hardtanh.default, _ATEN.hardtanh_.default),
}


class OnnxRuntimeQuantizer(X86InductorQuantizer):  # type: ignore[misc]
    """uint8 activations and int8 weights with a scale for each channel.

    Inductor's own quantizer quantizes what goes into a convolution and leaves it to the next operator to quantize what
    comes out, and the branches of a residual network in float. ONNX Runtime computes in INT8 only what stands between
    quantized tensors, so here every convolution, and every addition to one, ends in INT8.
    """

    def __init__(self, *, trains: bool, reduce_range: bool, left_out: Sequence[str]) -> None:
        """For training, or for calibration; `left_out` are names of submodules that stay float."""
        super().__init__()
        self.trains = trains
        config = get_default_x86_inductor_quantization_config(is_qat=trains, reduce_range=reduce_range)
        self.set_global(config)
        for name in left_out:
            self.set_module_name_qconfig(name, None)
        self._activation = config.output_activation

    def annotate(self, model: GraphModule) -> GraphModule:
        annotated: GraphModule = super().annotate(model)
        ends = {
            self._quantize_output(node)
            for node in annotated.graph.nodes
            if node.target in _CONVOLUTIONS and _annotation(node).input_qspec_map
        }
        for node in annotated.graph.nodes:
            if node.target in _ADDITIONS and ends & set(node.args):
                self._quantize_inputs(node)
                ends.add(self._quantize_output(node))
        return annotated

    def _quantize_output(self, node: Node) -> Node:
        """Of the last operator that is fused to this one, and of none before it; gives that last one."""
        while len(node.users) == 1 and (taker := next(iter(node.users))).target in _FUSED:
            _annotation(node).output_qspec = None
            node = taker
        _annotation(node).output_qspec = self._activation
        return node

    def _quantize_inputs(self, node: Node) -> None:
        _annotation(node).input_qspec_map = {taken: self._activation for taken in node.args if isinstance(taken, Node)}


def _annotation(node: Node) -> Any:
    return node.meta.setdefault(_ANNOTATION, QuantizationAnnotation(_annotated=True))
