"""What NVIDIA's Model Optimizer makes for TensorRT: FP16 that keeps in FP32 what would not fit, and FP8 for Hopper.

It clashes with the libraries of serving and takes 2 GB: these recipes are followed where the user has set it up.
"""

import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx

from engines.engine import Array
from engines.quantize.excluded import node_name, standing_for
from engines.quantize.recipe import Made, Options, Progress, Source, calibration_rows
from engines.quantize.rows import Rows
from engines.quantize.weights import weighted

_BATCH_ROWS = 64  # that are held as they are read; the Optimizer holds all at once anyway


@dataclass(frozen=True, slots=True)
class ModelOptimizer:
    """A recipe; see `engines.quantize.recipe.Recipe`."""

    name: str
    summary: str
    products: str
    """What Conv, Gemm and MatMul compute in: `fp16` or `fp8`. All else is FP16, where it fits."""
    is_candidate: bool = False
    engine: str = "onnxruntime"
    needs: tuple[str, ...] = ("modelopt", "onnx_graphsurgeon", "torch")
    tool: str | None = "modelopt"
    calibrates: bool = True

    def refuses(self, source: Source) -> str | None:
        if source.signature.batch_axis is None:
            return "Model Optimizer takes its rows by a batch axis, and the model has none"
        if weighted(onnx.load(source.path, load_external_data=False), {"Conv", "Gemm", "MatMul"}):
            return None
        return "the model has no Conv, MatMul or Gemm with constant FP32 weights"

    def make(self, source: Source, rows: Rows | None, folder: Path, options: Options, progress: Progress) -> Made:
        rows = calibration_rows(self.name, rows)
        model = onnx.load(source.path, load_external_data=False)
        makers = {output: node_name(node) for node in model.graph.node for output in node.output}
        excluded = [re.escape(name) for name in standing_for(model, makers, options.exclude)]
        path = folder / "model.onnx"
        progress("calibrating", 0.0)
        (_write_fp16 if self.products == "fp16" else _write_fp8)(source.path, _together(rows), excluded, path)
        return Made(
            path,
            details={
                "method": "AutoCast" if self.products == "fp16" else "static",
                "products": self.products,
                "rest": "fp16",
                "rows": rows.count,
                "excluded": list(options.exclude),
                "modelopt": version("nvidia-modelopt"),
            },
        )


def _together(rows: Rows) -> dict[str, Array]:
    batches = [batch.inputs for batch in rows.batches(_BATCH_ROWS)]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def _write_fp16(source: Path, inputs: dict[str, Array], excluded: list[str], path: Path) -> None:
    from modelopt.onnx.autocast import convert_to_mixed_precision

    seen = path.with_name("rows.npz")
    np.savez(seen, **inputs)  # type: ignore[arg-type]  # its stub takes the names for its own options
    model = convert_to_mixed_precision(
        str(source),
        low_precision_type="fp16",
        nodes_to_exclude=excluded,
        keep_io_types=True,
        calibration_data=str(seen),
        providers=["cpu"],
    )
    onnx.save(model, path)


def _write_fp8(source: Path, inputs: dict[str, Array], excluded: list[str], path: Path) -> None:
    from modelopt.onnx.quantization import quantize

    quantize(
        str(source),
        quantize_mode="fp8",
        calibration_data=inputs,
        calibration_method="max",
        calibration_eps=["cpu"],  # it would try for a GPU and TensorRT first
        nodes_to_exclude=excluded,
        high_precision_dtype="fp16",
        output_path=str(path),
    )


MODEL_OPTIMIZER = (
    ModelOptimizer("fp16-autocast", "half precision by Model Optimizer, FP32 where it would not fit", "fp16"),
    ModelOptimizer("fp8", "FP8 by Model Optimizer, for TensorRT on Hopper and later", "fp8"),
)
