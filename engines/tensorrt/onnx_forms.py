"""Forms of an ONNX file that TensorRT refuses, or takes for something else without a word; found before any build."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
from onnx import NodeProto, TensorProto, numpy_helper
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

from engines.onnx_walk import nodes_of
from engines.quantize.weights import held_constants
from engines.signature import Signature
from engines.tensorrt.ports import DTYPES
from engines.tensorrt.refusal import Refusal, mend_of

_QDQ = ("QuantizeLinear", "DequantizeLinear")
_TAKEN = (TensorProto.INT8, TensorProto.INT4, TensorProto.FLOAT8E4M3FN)
_OTHERWISE: dict[int, str] = {
    TensorProto.UINT8: "it quantizes to uint8, which TensorRT would take for int8",
    TensorProto.INT32: "a bias is quantized, and TensorRT wants it in float",
}


def refused_forms(path: Path, signature: Signature) -> tuple[Refusal, ...]:
    """Dtypes and ranks of inputs and outputs, and each Q/DQ that is not symmetric int8 (or int4, or FP8)."""
    model = onnx.load(path, load_external_data=False)
    held = held_constants(model)
    for tensor in held.values():
        if uses_external_data(tensor) and len(tensor.dims) < 2:  # a zero point; weights stay where they are
            load_external_data_for_tensor(tensor, str(path.parent))
    reasons = {_named(node): (node, _reason(node, held)) for node in nodes_of(model) if node.op_type in _QDQ}
    return (
        *_refused_specs(signature),
        *(
            Refusal(name, node.op_type, reason, mend_of(node.op_type, reason))
            for name, (node, reason) in reasons.items()
            if reason
        ),
    )


def _refused_specs(signature: Signature) -> Iterator[Refusal]:
    specs, known = (*signature.inputs, *signature.outputs), DTYPES.values()
    if others := sorted({f"{spec.dtype} ('{spec.name}')" for spec in specs if spec.dtype not in known}):
        reason = f"TensorRT runs no {', '.join(others)}, only {', '.join(known)}"
        yield Refusal("", "", reason, "serve this model with onnxruntime")
    for spec in signature.inputs:
        if spec.shape is None:
            yield Refusal("", "", f"input '{spec.name}' is of unknown rank", "export the model with its shape")


def _named(node: NodeProto) -> str:
    return str(node.name or node.output[0])


def _reason(node: NodeProto, held: Mapping[str, TensorProto]) -> str:
    """Empty where TensorRT takes it, or where only TensorRT itself can tell."""
    zero_point = held.get(node.input[2]) if len(node.input) > 2 else None
    dtype = _dtype(node, zero_point, held)
    if dtype is not None and dtype not in _TAKEN:
        return _OTHERWISE.get(dtype, f"it quantizes to {TensorProto.DataType.Name(dtype).lower()}")
    if dtype == TensorProto.INT8 and zero_point is not None and numpy_helper.to_array(zero_point).any():
        return "its zero point is not 0, and TensorRT knows only symmetric int8"
    return ""


def _dtype(node: NodeProto, zero_point: TensorProto | None, held: Mapping[str, TensorProto]) -> int | None:
    """What is quantized to, or from. Without a zero point, ONNX means uint8 unless it says otherwise."""
    if zero_point is not None:
        return int(zero_point.data_type)
    if node.op_type == "DequantizeLinear":
        return int(held[node.input[0]].data_type) if node.input[0] in held else None
    if len(node.input) > 2 and node.input[2]:
        return None  # it is computed
    said = [attribute.i for attribute in node.attribute if attribute.name == "output_dtype" and attribute.i]
    return said[0] if said else int(TensorProto.UINT8)
