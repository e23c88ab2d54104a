"""Which values the tensors of a model take: ranges for static quantization, in bounded memory."""

from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationMethod, create_calibrator
from onnxruntime.quantization.calibrate import save_tensors_data

from engines.engine import Arrays
from engines.onnx_signature import signature_of
from engines.quantize.activations import refused_rows
from engines.quantize.answers import as_taken
from engines.quantize.recipe import Progress
from engines.quantize.rows import Rows

# ONNX Runtime keeps every activation of what it is given at once (onnxruntime#10503: 256 GB), so it is given this much.
_BATCH_ROWS = 16


class Method(NamedTuple):
    """How ranges follow from the values that are seen."""

    name: str
    kind: CalibrationMethod
    options: dict[str, Any]


MIN_MAX = Method("MinMax", CalibrationMethod.MinMax, {})
ENTROPY = Method("Entropy", CalibrationMethod.Entropy, {})
PERCENTILE = Method("Percentile", CalibrationMethod.Percentile, {"percentile": 99.999})


def write_ranges(
    model: Path, rows: Rows, method: Method, operators: list[str], folder: Path, progress: Progress
) -> Path:
    """Run all rows through the model, a batch at a time, and write the range of every tensor; gives the file's path.

    `quantize_static` takes it as its calibration cache. Histograms of a batch are merged into those before it, so for
    Entropy the ranges depend on `_BATCH_ROWS`.
    """
    calibrator = create_calibrator(
        model,
        operators,
        augmented_model_path=str(folder / "augmented.onnx"),
        calibrate_method=method.kind,
        extra_options=method.options,
        providers=["CPUExecutionProvider"],
    )
    signature = signature_of(onnx.load(model, load_external_data=False).graph)
    done = 0
    for batch in rows.batches(_BATCH_ROWS):
        with redirect_stdout(None), refused_rows():  # it tells of every batch
            calibrator.collect_data(_OneBatch(as_taken(batch.inputs, signature)))
        done += len(next(iter(batch.inputs.values())))
        progress("calibrating", done / rows.count)
    path = folder / "ranges.json"
    with redirect_stdout(None):
        save_tensors_data(calibrator.compute_data(), path)
    return path


class _OneBatch(onnxruntime.quantization.CalibrationDataReader):  # type: ignore[misc]
    """A reader of one batch."""

    def __init__(self, inputs: Iterator[Arrays]) -> None:
        self._left = inputs

    def get_next(self) -> dict[str, Any] | None:
        inputs = next(self._left, None)
        return None if inputs is None else dict(inputs)
