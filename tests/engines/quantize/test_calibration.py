"""The ranges that calibration finds: whole, cut off, and refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from engines.errors import QuantizeError
from engines.onnx_file import read_onnx
from engines.quantize.calibration import ENTROPY, MIN_MAX, PERCENTILE, Method, write_ranges
from engines.quantize.histogram import BINS, least_divergent_bins, percentile_bins
from engines.quantize.open_rows import open_rows
from engines.quantize.rows import RowsSpec
from tests.engines.quantize.conftest import DIGITS
from tests.graphs import linear, model, node, save, value

METHODS = [MIN_MAX, ENTROPY, PERCENTILE]
RANDOM = np.random.default_rng(0)


def ranges(x: np.ndarray, method: Method, folder: Path) -> dict[str, tuple[float, float]]:  # type: ignore[type-arg]
    """Of a product of `x` with a unit matrix."""
    return ranges_of(linear(np.eye(x.shape[1])), "MatMul", x, method, folder)


def ranges_of(
    made: ModelProto,
    operator: str,
    x: np.ndarray,  # type: ignore[type-arg]
    method: Method,
    folder: Path,
) -> dict[str, tuple[float, float]]:
    """Of all that nodes of this operator take and make."""
    path = save(made, folder / "model.onnx")
    np.savez(folder / "rows.npz", x=x.astype(np.float32))
    rows = open_rows(RowsSpec(str(folder / "rows.npz")), read_onnx(path).signature)
    written = write_ranges(path, rows, method, [operator], folder, lambda what, done: None)
    data = json.loads(written.read_text())["data"]
    return {name: (float(found["lowest"]["data"]), float(found["highest"]["data"])) for name, found in data.items()}


@pytest.mark.parametrize("method", METHODS)
def test_ranges_do_not_depend_on_the_order_of_rows(method: Method, tmp_path: Path) -> None:
    """Rows of next to nothing come first: bins as wide as theirs would be a thousand million for those behind."""
    x = RANDOM.normal(size=(64, 4))
    x[:16] *= 1e-9
    found = ranges(x, method, tmp_path)
    assert found == ranges(x[::-1], method, tmp_path)
    assert found["x"] == found["y"]
    low, high = found["x"]
    assert low >= np.float32(x.min())
    assert high <= np.float32(x.max())
    assert high - low > 2


def test_the_smallest_and_the_largest_value_are_the_range(tmp_path: Path) -> None:
    x = RANDOM.normal(size=(20, 4))
    assert ranges(x, MIN_MAX, tmp_path)["x"] == (np.float32(x.min()), np.float32(x.max()))


@pytest.mark.parametrize("constant", [0.0, 3.0, -2.5])
@pytest.mark.parametrize("method", METHODS)
def test_what_is_always_the_same_keeps_its_value(method: Method, constant: float, tmp_path: Path) -> None:
    assert ranges(np.full((20, 4), constant), method, tmp_path)["x"] == (constant, constant)


def test_a_percentile_cuts_the_outlier_off_and_nothing_else(tmp_path: Path) -> None:
    x = RANDOM.uniform(-1, 1, size=(1000, 400))
    x[500, 7] = 50
    low, high = ranges(x, PERCENTILE, tmp_path)["x"]
    assert low == np.float32(x.min())
    assert 1 <= high <= 1 + 50 / BINS


def test_bins_of_a_percentile() -> None:
    counts = np.array([50, 30, 15, 4, 0, 1])
    assert [percentile_bins(counts, percent) for percent in (50, 51, 95, 99, 100)] == [1, 2, 3, 4, 6]
    assert percentile_bins(np.zeros(6, int), 99.0) == 6


def test_least_divergence_cuts_outliers_off_and_keeps_what_is_evenly_spread() -> None:
    even = np.full(BINS, 1000)
    assert least_divergent_bins(even) == BINS
    assert least_divergent_bins(np.zeros(BINS, int)) == BINS
    normal = np.histogram(np.abs(RANDOM.normal(size=1_000_000)), BINS, range=(0, 40))[0]
    normal[-1] += 1
    assert 0.05 * BINS < least_divergent_bins(normal) < 0.2 * BINS


@pytest.mark.parametrize("method", METHODS)
def test_what_holds_no_values_has_a_range_of_zeros(method: Method, tmp_path: Path) -> None:
    nodes = [node("Slice", ["x", "zero", "zero", "one"], ["e"]), node("Concat", ["e", "x"], ["y"], axis=1)]
    held = {"zero": np.array([0]), "one": np.array([1])}
    made = model(nodes, [value("x", shape=("N", 4))], [value("y", shape=("N", 4))], held)
    made.graph.value_info.append(value("e", shape=("N", 0)))
    assert ranges_of(made, "Concat", np.ones((3, 4)), method, tmp_path) == {"e": (0, 0), "x": (1, 1), "y": (1, 1)}


@pytest.mark.parametrize(("rows", "wild"), [(slice(3, 4), np.inf), (slice(3, 4), -np.inf), (slice(None), np.nan)])
def test_values_that_no_scale_holds_are_refused(rows: slice, wild: float, tmp_path: Path) -> None:
    x = np.ones((20, 4))
    x[rows] = wild
    with pytest.raises(QuantizeError, match=r"on the calibration rows '[xy]' reaches .*leave the rows out"):
        ranges(x, MIN_MAX, tmp_path)


def test_zeros_do_not_count(tmp_path: Path) -> None:
    """Half of what a ReLU makes is 0, which any scale holds exactly."""
    x = np.zeros((1000, 400))
    x[:, 0] = RANDOM.uniform(0, 1, 1000)
    assert ranges(x, PERCENTILE, tmp_path)["x"][1] > 0.99


def test_rows_of_digits_are_told_as_they_run(tmp_path: Path) -> None:
    digits = read_onnx(DIGITS / "digits.onnx")
    rows = open_rows(RowsSpec(str(DIGITS / "calibration.npz")), digits.signature)
    told: list[tuple[str, float]] = []
    write_ranges(DIGITS / "digits.onnx", rows, ENTROPY, ["Conv"], tmp_path, lambda *step: told.append(step))
    assert [what for what, _ in told] == sorted(what for what, _ in told)
    assert max(done for _, done in told) <= 1.0
