"""Static INT8 as TensorRT reads it: its products in INT8 by explicit Q/DQ, all else in FP16, inputs and outputs kept.

TensorRT computes in the types that the file names: what were left in FP32 would run slowly. Of Q/DQ it takes only
symmetric int8 with zero points of 0, and no bias that is quantized. Only what goes into a product is quantized, not
what comes out: so an activation or a sum behind it stays in the same kernel.
"""

from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import ModelProto, version_converter
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

from engines.errors import QuantizeError
from engines.quantize.calibration import MIN_MAX, Method, write_ranges
from engines.quantize.half import halve
from engines.quantize.onnxruntime_prepare import prepare, quiet
from engines.quantize.onnxruntime_static import computed_products
from engines.quantize.onnxruntime_write import write_quantized
from engines.quantize.recipe import Made, Options, Progress, Source, calibration_rows
from engines.quantize.rows import Rows
from engines.quantize.weights import weighted

_PRODUCTS = ["Conv", "Gemm", "MatMul"]
_FP16_SCALES_OPSET = 19
"""The first opset whose Q/DQ take scales in FP16."""


@dataclass(frozen=True, slots=True)
class TensorRtStatic:
    """A recipe; see `engines.quantize.recipe.Recipe`."""

    name: str
    summary: str
    method: Method = MIN_MAX
    is_candidate: bool = False
    engine: str = "onnxruntime"
    needs: tuple[str, ...] = ()
    tool: str | None = None
    calibrates: bool = True

    def refuses(self, source: Source) -> str | None:
        if weighted(onnx.load(source.path, load_external_data=False), set(_PRODUCTS)):
            return None
        return "the model has no Conv, MatMul or Gemm with constant FP32 weights to quantize"

    def make(self, source: Source, rows: Rows | None, folder: Path, options: Options, progress: Progress) -> Made:
        rows = calibration_rows(self.name, rows)
        prepared = prepare(source.path, folder, options.exclude)
        model = _with_fp16_scales(onnx.load(prepared.path), self.name)
        onnx.save(model, prepared.path)
        ranges = write_ranges(prepared.path, rows, self.method, _PRODUCTS, folder, progress)
        progress("quantizing", 0.0)

        def write(path: Path) -> None:
            quantize_static(
                prepared.path,
                path,
                None,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=_PRODUCTS,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                calibrate_method=self.method.kind,
                calibration_cache_path=str(ranges),
                nodes_to_exclude=[*prepared.excluded, *computed_products(model)],
                extra_options={
                    "ActivationSymmetric": True,
                    "QuantizeBias": False,
                    "OpTypesToExcludeOutputQuantization": _PRODUCTS,
                },
            )
            onnx.save(halve(onnx.load(path), prepared.excluded), path)

        return Made(
            write_quantized(folder, write),
            details={
                "method": "static",
                "calibration": self.method.name,
                "rows": rows.count,
                "activations": "int8, symmetric",
                "weights": "int8, symmetric, per channel",
                "rest": "fp16",
                "operators": _PRODUCTS,
                "excluded": list(options.exclude),
            },
        )


def _with_fp16_scales(model: ModelProto, recipe: str) -> ModelProto:
    """The model in an opset whose Q/DQ take scales in FP16."""
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    if opset >= _FP16_SCALES_OPSET:
        return model
    with quiet():
        try:
            return version_converter.convert_version(model, _FP16_SCALES_OPSET)
        except Exception as error:  # it raises whatever it meets
            raise QuantizeError(
                f"{recipe} needs opset {_FP16_SCALES_OPSET}, and the model of opset {opset} cannot be converted "
                f"({error}); export it with opset {_FP16_SCALES_OPSET} or more"
            ) from error


TENSORRT = (TensorRtStatic("int8-tensorrt", "static INT8 as TensorRT takes it, all else in FP16"),)
