"""The FP32 model as OpenVINO runs it, and the same computed in BF16: no data needed."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from engines.errors import QuantizeError
from engines.machine import has_bf16
from engines.quantize.openvino_write import write_ir
from engines.quantize.recipe import Made, Options, Progress, Source
from engines.quantize.rows import Rows


@dataclass(frozen=True, slots=True)
class OpenVinoFloat:
    """A recipe; see `engines.quantize.recipe.Recipe`."""

    name: str
    summary: str
    precision: str
    """`f32` or `bf16`; the file says so in its rt_info, where `engines.openvino_engine` looks."""
    is_candidate: bool = False
    engine: str = "openvino"
    needs: tuple[str, ...] = ("openvino",)
    tool: str | None = None
    calibrates: bool = False

    def refuses(self, source: Source) -> str | None:
        if self.precision == "bf16" and not has_bf16():
            return "this processor has no BF16 instructions"
        return None

    def make(self, source: Source, rows: Rows | None, folder: Path, options: Options, progress: Progress) -> Made:
        import openvino

        from engines.openvino_inputs import openvino_message

        progress("converting", 0.0)
        try:
            model = openvino.Core().read_model(source.path)
        except RuntimeError as error:
            raise QuantizeError(f"OpenVINO cannot read this model: {openvino_message(error)}") from error
        details = {"method": "convert", "precision": self.precision, "openvino": version("openvino")}
        return write_ir(model, self.precision, folder, details)


OPENVINO_FLOAT = (
    OpenVinoFloat("fp32-openvino", "OpenVINO in FP32", "f32"),
    OpenVinoFloat("bf16-openvino", "OpenVINO, computed in BF16: no calibration", "bf16", is_candidate=True),
)
