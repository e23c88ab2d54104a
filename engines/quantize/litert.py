"""LiteRT's INT8 of the user's PyTorch module: a .tflite file with a function for each batch size that is worth one."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from engines.errors import QuantizeError
from engines.quantize.recipe import Made, Options, Progress, Source, calibration_rows, without_network
from engines.quantize.rows import Rows
from engines.signature import Signature, TensorSpec


@dataclass(frozen=True, slots=True)
class LiteRt:
    """A recipe; see `engines.quantize.recipe.Recipe`."""

    name: str
    summary: str
    calibrates: bool
    """Whether activations have fixed scales; else each row gets its own when it runs."""
    engine: str = "litert"
    needs: tuple[str, ...] = ("torch", "litert_torch", "ai_edge_quantizer")
    tool: str | None = "torch"
    is_candidate: bool = True

    def refuses(self, source: Source) -> str | None:
        dynamic = [spec.name for spec in source.signature.inputs if -1 in _beside_batch(spec, source.signature)]
        if dynamic:
            return f"LiteRT fixes all dimensions but the batch, and {dynamic[0]!r} has more that are dynamic"
        return without_network(source)

    def make(self, source: Source, rows: Rows | None, folder: Path, options: Options, progress: Progress) -> Made:
        if options.exclude:
            raise QuantizeError(f"{self.name}: no layer of a LiteRT file can be left float; try it without --exclude")
        from engines.quantize import litert_graph
        from engines.quantize.network import load_network

        progress("loading the network", 0.0)
        network = load_network(source, rows)
        progress("converting", 0.2)
        converted = folder / "float.tflite"
        litert_graph.write(network, source.signature, converted)
        made = folder / "model.tflite"
        if self.calibrates:
            litert_graph.quantize_static(converted, source.signature, calibration_rows(self.name, rows), made, progress)
        else:
            litert_graph.quantize_dynamic(converted, made)
        details = {
            "method": "static" if self.calibrates else "dynamic",
            "rows": None if rows is None else rows.count,
            "network": source.network,
            "activations": "int8, asymmetric" + ("" if self.calibrates else ", one scale for a row"),
            "weights": "int8, symmetric, per channel",
            **{package: version(package) for package in ("torch", "litert-torch", "ai-edge-quantizer")},
        }
        return Made(made, details=details)


def _beside_batch(spec: TensorSpec, signature: Signature) -> tuple[int, ...]:
    """An input's sizes without that of the batch; an unknown rank counts as dynamic."""
    shape = (-1, -1) if spec.shape is None else spec.shape
    return shape if signature.batch_axis is None else shape[1:]


LITERT = (
    LiteRt("int8-litert", "LiteRT's static INT8 of your module", calibrates=True),
    LiteRt("int8-dynamic-litert", "LiteRT's dynamic INT8 of your module, without rows", calibrates=False),
)
