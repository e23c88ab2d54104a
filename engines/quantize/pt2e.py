"""Static INT8 of the user's PyTorch module, by PyTorch 2 export quantization: calibrated, or trained to be rounded."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from engines.errors import QuantizeError
from engines.onnx_signature import signature_of
from engines.quantize.onnxruntime_write import reduces_range
from engines.quantize.recipe import Made, Options, Progress, Source, calibration_rows, without_network
from engines.quantize.rows import Rows
from engines.signature import incompatibilities


@dataclass(frozen=True, slots=True)
class Pt2e:
    """A recipe; see `engines.quantize.recipe.Recipe`."""

    name: str
    summary: str
    trains: bool
    """Whether the user's `fine_tune` trains the module while it rounds as INT8 does; that finds the scales as well."""
    engine: str = "onnxruntime"
    needs: tuple[str, ...] = ("torch", "torchao", "onnxscript")
    tool: str | None = "torch"
    is_candidate: bool = True

    @property
    def calibrates(self) -> bool:
        return not self.trains

    def refuses(self, source: Source) -> str | None:
        if self.trains and source.fine_tune is None:
            return "nothing trains it: --fine-tune module:function"
        return without_network(source)

    def make(self, source: Source, rows: Rows | None, folder: Path, options: Options, progress: Progress) -> Made:
        import torch

        from engines.quantize import pt2e_graph
        from engines.quantize.network import call, load_network, modules_of
        from engines.quantize.pt2e_quantizer import OnnxRuntimeQuantizer

        def run(module: Any) -> None:
            if self.trains:
                assert source.fine_tune is not None
                progress("training", 0.2)
                call(source.fine_tune, module)
            else:
                pt2e_graph.calibrate(module, source.signature, calibration_rows(self.name, rows), progress)

        torch.manual_seed(options.seed)
        progress("loading the network", 0.0)
        network = load_network(source, rows)
        quantizer = OnnxRuntimeQuantizer(
            trains=self.trains,
            reduce_range=reduces_range(),
            left_out=modules_of(network, source, options.exclude),
        )
        graph = pt2e_graph.quantized(network, source.signature, quantizer, run)
        progress("exporting", 0.9)
        model = pt2e_graph.write_onnx(graph, source.signature, folder / "model.onnx")
        differences = incompatibilities(source.signature, signature_of(model.graph))
        if differences:
            raise QuantizeError(f"{self.name}: the exported module is another model than its source: {differences[0]}")
        details = {
            "method": "trained to be quantized" if self.trains else "static",
            "calibration": source.fine_tune if self.trains else "histograms",
            "rows": None if rows is None else rows.count,
            "network": source.network,
            "activations": "uint8, asymmetric",
            "weights": "int8, symmetric, per channel",
            "reduced_range": reduces_range(),
            "excluded": list(options.exclude),
            **{library: version(library) for library in self.needs},
        }
        return Made(folder / "model.onnx", details=details)


PT2E = (
    Pt2e("int8-pt2e", "PyTorch's own static INT8 of your module", trains=False),
    Pt2e("int8-qat", "your module, trained to be rounded to INT8", trains=True),
)
