"""OpenVINO's INT8, made by NNCF: static, with what NNCF does against the error where that helps."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from engines.machine import has_bf16, has_vnni
from engines.quantize.recipe import Made, Options, Progress, Source, calibration_rows
from engines.quantize.rows import Rows


@dataclass(frozen=True, slots=True)
class OpenVinoInt8:
    """A recipe; see `engines.quantize.recipe.Recipe`."""

    name: str
    summary: str
    max_drop: float | None = None
    """Layers become float again until the metric drops by no more than this on the calibration rows."""
    is_candidate: bool = False
    engine: str = "openvino"
    needs: tuple[str, ...] = ("nncf", "openvino", "onnx", "pydantic")
    tool: str | None = "nncf"
    calibrates: bool = True

    def refuses(self, source: Source) -> str | None:
        import onnx

        from engines.quantize.weights import weighted

        if weighted(onnx.load(source.path, load_external_data=False), {"Conv", "MatMul", "Gemm"}):
            return None
        return "the model has no Conv, MatMul or Gemm with constant FP32 weights to quantize"

    def make(self, source: Source, rows: Rows | None, folder: Path, options: Options, progress: Progress) -> Made:
        from engines.quantize.nncf_quantizing import Quantizing
        from engines.quantize.openvino_write import write_ir

        rows = calibration_rows(self.name, rows)
        quantizing = Quantizing(source, rows, options.exclude)
        nearest = quantizing.nearest(progress)
        model = nearest.model
        if self.max_drop is not None:
            progress("leaving layers float", 0.7)
            model = quantizing.restored(nearest.mending, self.max_drop)
        leaves_float = self.max_drop is not None or bool(options.exclude)  # for exactness
        rest = "bf16" if has_bf16() and not leaves_float else "f32"
        details = {
            "method": "NNCF",
            "rest": rest,
            "rows": rows.count,
            "smoothed": nearest.mending.smooths,
            "bias_corrected": nearest.mending.corrects,
            "calibration_sqnr_db": round(nearest.sqnr_db, 2),
            "max_drop": self.max_drop,
            "reduced_range": not has_vnni(),
            "excluded": list(options.exclude),
            **{library: version(library) for library in ("nncf", "openvino")},
        }
        return write_ir(model, rest, folder, details)


OPENVINO_INT8 = (
    OpenVinoInt8("int8-openvino", "static INT8 by NNCF", is_candidate=True),
    OpenVinoInt8("int8-openvino-accuracy", "static INT8 by NNCF, layers that cost accuracy float", max_drop=0.002),
)
