"""ONNX Runtime's static INT8: every activation has its scale from calibration, so rows do not influence each other.

uint8 activations and int8 weights: the processor's product is unsigned times signed, anything else runs on a slower
kernel. Asymmetric activations: with a zero point of 0 a quantization cannot absorb the ReLU before it.
"""

from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import ModelProto
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

from engines.quantize.calibration import ENTROPY, MIN_MAX, PERCENTILE, Method, write_ranges
from engines.quantize.onnxruntime_prepare import prepare
from engines.quantize.onnxruntime_write import keep_float, reduces_range, write_quantized
from engines.quantize.recipe import Made, Options, Progress, Source, calibration_rows
from engines.quantize.rows import Rows
from engines.quantize.smoothquant import NOTHING_TO_SMOOTH, places, smooth
from engines.quantize.weights import weighted

# What a transformer spends its time in. Quantizing all of its other operators costs both speed and accuracy.
_PRODUCTS = ["Conv", "MatMul", "Gemm", "Gather"]


@dataclass(frozen=True, slots=True)
class Static:
    """A recipe; see `engines.quantize.recipe.Recipe`."""

    name: str
    summary: str
    method: Method = MIN_MAX
    symmetric: bool = False
    """Activations with zero point 0."""
    per_channel: bool = True
    smooths: bool = False
    """Whether SmoothQuant comes first."""
    is_candidate: bool = False
    engine: str = "onnxruntime"
    needs: tuple[str, ...] = ()
    tool: str | None = None
    calibrates: bool = True

    def refuses(self, source: Source) -> str | None:
        model = onnx.load(source.path, load_external_data=False)
        if self.smooths and not places(model):
            return NOTHING_TO_SMOOTH
        if weighted(model, {"Conv", "MatMul", "Gemm"}):
            return None
        return "the model has no Conv, MatMul or Gemm with constant FP32 weights to quantize"

    def make(self, source: Source, rows: Rows | None, folder: Path, options: Options, progress: Progress) -> Made:
        rows = calibration_rows(self.name, rows)
        prepared = prepare(source.path, folder, options.exclude)
        if self.smooths:
            smooth(prepared.path, rows)
        model = onnx.load(prepared.path, load_external_data=False)
        of_products = computes_by_products(model)
        operators = _PRODUCTS if of_products else [*_PRODUCTS, *_BESIDE_CONVOLUTIONS]
        ranges = write_ranges(prepared.path, rows, self.method, operators, folder, progress)
        progress("quantizing", 0.0)
        made = write_quantized(
            folder,
            lambda path: quantize_static(
                prepared.path,
                path,
                None,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=operators,
                activation_type=QuantType.QInt8 if self.symmetric else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=self.per_channel,
                reduce_range=reduces_range(),
                calibrate_method=self.method.kind,
                calibration_cache_path=str(ranges),
                nodes_to_exclude=[*prepared.excluded, *(computed_products(model) if of_products else ())],
                extra_options={"ActivationSymmetric": self.symmetric, **_FLOAT_OUTPUTS},
            ),
        )
        keep_float(made, prepared.excluded)
        return Made(
            made,
            details={
                "method": "static",
                "calibration": self.method.name,
                "rows": rows.count,
                "activations": "int8, symmetric" if self.symmetric else "uint8, asymmetric",
                "weights": f"int8, symmetric, {'per channel' if self.per_channel else 'per tensor'}",
                "smoothed": self.smooths,
                "reduced_range": reduces_range(),
                "operators": operators,
                "excluded": list(options.exclude),
            },
        )


# What ONNX Runtime computes in INT8 too, or what only moves values: between convolutions nothing becomes float again.
_BESIDE_CONVOLUTIONS = [
    *("Add", "Mul", "Relu", "Clip", "LeakyRelu", "Sigmoid", "AveragePool", "GlobalAveragePool", "ReduceMean"),
    *("MaxPool", "Concat", "Split", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Resize"),
]
# ONNX Runtime then fuses each product to MatMulIntegerToFloat. Quantizing these outputs per tensor is what ruins a
# transformer (8.8 dB against 17 to 21 on a real one); the last product of an image network is its answer.
_FLOAT_OUTPUTS = {"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]}

STATIC = (
    Static("int8", "static INT8, scales from the smallest and largest value", is_candidate=True),
    Static("int8-entropy", "static INT8, scales that lose the least information", ENTROPY),
    Static("int8-percentile", "static INT8, scales that cut 0.001 % of the values off", PERCENTILE, is_candidate=True),
    Static("int8-symmetric", "static INT8 with zero points of 0", symmetric=True),
    Static("int8-per-tensor", "static INT8, one scale for all channels of a weight", per_channel=False),
    Static("int8-smooth", "SmoothQuant, then static INT8", smooths=True, is_candidate=True),
)


def computes_by_products(model: ModelProto) -> bool:
    """Whether the network attends (multiplies two computed tensors), or has no convolution: it is no image network."""
    operators = {node.op_type for node in model.graph.node}
    has_attention = any(operator.endswith("Attention") for operator in operators)
    return has_attention or bool(computed_products(model)) or "Conv" not in operators


def computed_products(model: ModelProto) -> list[str]:
    """Nodes that multiply two computed tensors. `MatMulConstBOnly` keeps no Q/DQ off them."""
    constant = {node.output[0] for node in weighted(model, {"MatMul"})}
    return [node.name for node in model.graph.node if node.op_type == "MatMul" and node.output[0] not in constant]
