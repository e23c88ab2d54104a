"""Which values the tensors of a model take: ranges for static quantization, in memory that no number of rows fills.

Rows run one by one: for the smallest and largest values, and once more for methods that cut some off, to count how many
values are how large. ONNX Runtime has calibrators for the latter too. They hold every activation of all rows at once
(onnxruntime#10503: 256 GB); given the rows in chunks, their histograms grow with what is larger than in the first one.
"""

from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from warnings import catch_warnings, simplefilter

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationMethod, create_calibrator
from onnxruntime.quantization.calibrate import TensorData, TensorsData, save_tensors_data

from engines.engine import Array, Arrays
from engines.errors import QuantizeError
from engines.onnx_signature import signature_of
from engines.quantize.activations import activations, refused_rows
from engines.quantize.answers import rows_apart
from engines.quantize.histogram import BINS, least_divergent_bins, percentile_bins
from engines.quantize.recipe import Progress
from engines.quantize.rows import Rows

_CHUNK_ROWS = 16  # between two lines of progress


class Method(NamedTuple):
    """How ranges follow from the values that are seen."""

    name: str
    kind: CalibrationMethod
    options: dict[str, Any]

    def kept(self, counts: Array) -> int:
        """How many bins of a histogram of absolute values, from 0 on, the range reaches over."""
        if self.kind == CalibrationMethod.Percentile:
            return percentile_bins(counts, **self.options)
        return least_divergent_bins(counts) if self.kind == CalibrationMethod.Entropy else len(counts)


MIN_MAX = Method("MinMax", CalibrationMethod.MinMax, {})
ENTROPY = Method("Entropy", CalibrationMethod.Entropy, {})
PERCENTILE = Method("Percentile", CalibrationMethod.Percentile, {"percentile": 99.999})


class Range(NamedTuple):
    """Of one tensor: the smallest and the largest value, in its dtype."""

    low: Array
    high: Array

    @property
    def furthest(self) -> float:
        """From 0."""
        return max(-float(self.low), float(self.high), 0.0)


def write_ranges(
    model: Path, rows: Rows, method: Method, operators: list[str], folder: Path, progress: Progress
) -> Path:
    """Run all rows through the model and write the range of every tensor; gives the file's path.

    `quantize_static` takes it as its calibration cache. Raises QuantizeError.
    """
    ranges = _extremes(model, rows, operators, folder, progress)
    if method.kind != CalibrationMethod.MinMax:
        counts = _histograms(model, rows, ranges, progress)
        ranges = {name: _cut(found, counts[name], method) for name, found in ranges.items()}
    data = {name: TensorData(lowest=found.low, highest=found.high) for name, found in ranges.items()}
    path = folder / "ranges.json"
    save_tensors_data(TensorsData(method.kind, data), path)
    return path


def _extremes(model: Path, rows: Rows, operators: list[str], folder: Path, progress: Progress) -> dict[str, Range]:
    """By ONNX Runtime's calibrator, for which the model itself finds them: no activation leaves it."""
    calibrator = create_calibrator(
        model,
        operators,
        augmented_model_path=str(folder / "augmented.onnx"),
        calibrate_method=CalibrationMethod.MinMax,
        providers=["CPUExecutionProvider"],
    )
    signature = signature_of(onnx.load(model, load_external_data=False).graph)
    done = 0
    for batch in rows.batches(_CHUNK_ROWS):
        with redirect_stdout(None), refused_rows(), catch_warnings():  # it tells of every chunk
            simplefilter("ignore", RuntimeWarning)  # rows of NaN
            calibrator.collect_data(_OneByOne(rows_apart(batch.inputs, signature)))
        done += len(next(iter(batch.inputs.values())))
        progress("calibrating", done / rows.count)
    ranges = {name: _range(*found.range_value) for name, found in calibrator.compute_data().items()}
    for name, found in ranges.items():
        if not np.isfinite(found).all():
            raise QuantizeError(
                f"on the calibration rows {name!r} reaches from {found.low} to {found.high}, and no scale holds that; "
                "leave the rows out with which it does"
            )
    return ranges


def _range(low: Array, high: Array) -> Range:
    """A tensor without values has a smallest one of infinity, and a largest one of minus infinity."""
    is_empty = np.isposinf(low) & np.isneginf(high)
    return Range(*(np.where(is_empty, 0, end).astype(end.dtype).reshape(()) for end in (low, high)))


def _histograms(model: Path, rows: Rows, ranges: Mapping[str, Range], progress: Progress) -> dict[str, Array]:
    """How many values of each tensor are how far from 0, in BINS up to the furthest; none that is 0, for 0 is exact."""
    counts = {name: np.zeros(BINS, np.int64) for name in ranges}
    for done, row in enumerate(activations(model, list(ranges), rows)):
        progress("counting values", done / rows.count)
        for name, values in row.items():
            sizes = np.abs(values[values != 0], dtype=np.float32)
            counts[name] += np.histogram(sizes, BINS, range=(0, ranges[name].furthest))[0]
    return counts


def _cut(found: Range, counts: Array, method: Method) -> Range:
    end = found.furthest * method.kept(counts) / BINS
    return Range(*(np.asarray(np.clip(one, -end, end, dtype=one.dtype)) for one in found))


class _OneByOne(onnxruntime.quantization.CalibrationDataReader):  # type: ignore[misc]
    """A reader of some rows."""

    def __init__(self, inputs: Iterator[Arrays]) -> None:
        self._left = inputs

    def get_next(self) -> dict[str, Any] | None:
        inputs = next(self._left, None)
        return None if inputs is None else dict(inputs)
