"""ONNX Runtime's dynamic INT8: weights are quantized once, activations as they come; it needs no rows.

One scale is taken over the whole batch, so a row's answer depends on the rows beside it. Convolutions stay float:
ConvInteger is up to four times slower than FP32.
"""

from dataclasses import dataclass
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from engines.quantize.onnxruntime_prepare import prepare
from engines.quantize.onnxruntime_write import reduces_range, write_quantized
from engines.quantize.recipe import Made, Options, Progress, Source, calibration_rows
from engines.quantize.rows import Rows
from engines.quantize.smoothquant import NOTHING_TO_SMOOTH, places, smooth
from engines.quantize.weights import weighted

_OPERATORS = ["MatMul", "Gemm", "Gather"]


@dataclass(frozen=True, slots=True)
class Dynamic:
    """A recipe; see `engines.quantize.recipe.Recipe`."""

    name: str
    summary: str
    smooths: bool = False
    """Whether SmoothQuant comes first; that needs rows."""
    is_candidate: bool = False
    engine: str = "onnxruntime"
    needs: tuple[str, ...] = ()
    tool: str | None = None

    @property
    def calibrates(self) -> bool:
        return self.smooths

    def refuses(self, source: Source) -> str | None:
        model = onnx.load(source.path, load_external_data=False)
        if self.smooths and not places(model):
            return NOTHING_TO_SMOOTH
        if weighted(model, _OPERATORS):
            return None
        return "the model has no MatMul, Gemm or Gather with constant FP32 weights, and dynamic INT8 slows a Conv down"

    def make(self, source: Source, rows: Rows | None, folder: Path, options: Options, progress: Progress) -> Made:
        progress("quantizing", 0.0)
        prepared = prepare(source.path, folder, options.exclude)
        if self.smooths:
            smooth(prepared.path, calibration_rows(self.name, rows))
        made = write_quantized(
            folder,
            lambda path: quantize_dynamic(
                prepared.path,
                path,
                op_types_to_quantize=_OPERATORS,
                per_channel=True,
                reduce_range=reduces_range(),
                weight_type=QuantType.QInt8,
                nodes_to_exclude=prepared.excluded,
            ),
        )
        return Made(
            made,
            details={
                "method": "dynamic",
                "activations": "uint8, asymmetric, one scale for a batch",
                "weights": "int8, symmetric, per channel",
                "smoothed": self.smooths,
                "reduced_range": reduces_range(),
                "operators": _OPERATORS,
                "excluded": list(options.exclude),
            },
        )


DYNAMIC = (
    Dynamic("int8-dynamic", "dynamic INT8 of products and embeddings, without rows", is_candidate=True),
    Dynamic("int8-dynamic-smooth", "SmoothQuant, then dynamic INT8", smooths=True),
)
