"""ONNX Runtime's static INT8: every activation has its scale from calibration, so rows do not influence each other.

uint8 activations and int8 weights: the processor's product is unsigned times signed, anything else runs on a slower
kernel. Asymmetric activations: with a zero point of 0 a quantization cannot absorb the ReLU before it.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from engines.errors import QuantizeError
from engines.machine import describe
from engines.quantize.calibration import ENTROPY, MIN_MAX, PERCENTILE, Method, write_ranges
from engines.quantize.recipe import Made, Options, Progress, Source
from engines.quantize.rows import Rows

# What a transformer spends its time in. Quantizing all of its other operators costs both speed and accuracy.
_OF_TRANSFORMERS = ["MatMul", "Gemm", "Gather"]
_VNNI = {"avx512_vnni", "avx_vnni"}


@dataclass(frozen=True, slots=True)
class Static:
    """A recipe; see `engines.quantize.recipe.Recipe`."""

    name: str
    summary: str
    method: Method = MIN_MAX
    symmetric: bool = False
    """Activations with zero point 0, as TensorRT wants them."""
    per_channel: bool = True
    is_candidate: bool = False
    engine: str = "onnxruntime"
    needs: tuple[str, ...] = ()
    calibrates: bool = True

    def refuses(self, source: Source) -> str | None:
        operators = _operators(source.path)
        if not operators & {"Conv", "MatMul", "Gemm"}:
            return "the model has no Conv, MatMul or Gemm to quantize"
        return None

    def make(self, source: Source, rows: Rows | None, folder: Path, options: Options, progress: Progress) -> Made:
        if rows is None:
            raise QuantizeError(f"{self.name} needs rows to calibrate with: give --calibration")
        prepared = prepare(source.path, folder)
        is_transformer = "Conv" not in _operators(prepared)
        operators = _OF_TRANSFORMERS if is_transformer else ["Conv", *_OF_TRANSFORMERS, *_BESIDE_CONVOLUTIONS]
        ranges = write_ranges(prepared, rows, self.method, operators, folder, progress)
        progress("quantizing", 0.0)
        made = folder / "model.onnx"
        reduces = not _VNNI & set(describe()["flags"])
        try:
            quantize_static(
                prepared,
                made,
                None,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=operators,
                activation_type=QuantType.QInt8 if self.symmetric else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=self.per_channel,
                reduce_range=reduces,
                calibrate_method=self.method.kind,
                calibration_cache_path=str(ranges),
                nodes_to_exclude=list(options.exclude),
                extra_options={"ActivationSymmetric": self.symmetric} | (_FLOAT_OUTPUTS if is_transformer else {}),
            )
        except (ValueError, RuntimeError) as error:
            raise QuantizeError(f"{self.name}: ONNX Runtime cannot quantize this model: {error}") from error
        return Made(
            made,
            details={
                "method": "static",
                "calibration": self.method.name,
                "rows": rows.count,
                "activations": "int8, symmetric" if self.symmetric else "uint8, asymmetric",
                "weights": f"int8, symmetric, {'per channel' if self.per_channel else 'per tensor'}",
                "reduced_range": reduces,
                "operators": operators,
                "excluded": list(options.exclude),
            },
        )


_BESIDE_CONVOLUTIONS = ["Add", "Mul", "Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat",
                        "Reshape", "Flatten", "Transpose", "ReduceMean"]  # fmt: skip
# ONNX Runtime then fuses each product to MatMulIntegerToFloat. Quantizing these outputs per tensor is what ruins a
# transformer (8.8 dB against 17 to 21 on a real one).
_FLOAT_OUTPUTS = {"MatMulConstBOnly": True, "OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]}

STATIC = (
    Static("int8", "static INT8, scales from the smallest and largest value", is_candidate=True),
    Static("int8-entropy", "static INT8, scales that lose the least information", ENTROPY),
    Static("int8-percentile", "static INT8, scales that cut 0.001 % of the values off", PERCENTILE, is_candidate=True),
    Static("int8-symmetric", "static INT8 with zero points of 0, as TensorRT wants it", symmetric=True),
    Static("int8-per-tensor", "static INT8, one scale for all channels of a weight", per_channel=False),
)


def prepare(path: Path, folder: Path) -> Path:
    """The model with its shapes inferred and its constants folded, in `folder`; no slower, and easier to quantize."""
    prepared = folder / "prepared.onnx"
    logging.getLogger().setLevel(logging.ERROR)  # the quantizer advises what is being done here
    try:
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
    except Exception as error:  # it raises whatever onnx and ONNX Runtime raise
        raise QuantizeError(f"the model cannot be prepared for quantization: {error}") from error
    return prepared


def _operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path, load_external_data=False).graph.node}
