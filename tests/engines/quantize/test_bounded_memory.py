"""Rows never lie in memory whole, whatever reads them, and neither do the activations that they cause."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.networks import Network
from tests.engines.quantize.peak_memory import COLUMNS, YIELDED_ROWS
from tests.graphs import value

MOST_BYTES = 80e6
ROWS, TOKENS, NARROW, WIDE = 2000, 32, 64, 512


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of few weights and large activations with its rows, and pictures and a table: 130 MB at least each."""
    made = tmp_path_factory.mktemp("bounded")
    random = np.random.default_rng(0)
    net = Network(0)
    x = net.add("LayerNormalization", "x", net.constant(np.ones(NARROW)), net.constant(np.zeros(NARROW)))
    wide = net.add("Tanh", net.add("Relu", net.dense(x, NARROW, WIDE)))
    net.add("Identity", net.dense(wide, WIDE, 8), output="y")
    net.save(made / "model.onnx", value("x", shape=("N", TOKENS, NARROW)), value("y", shape=("N", TOKENS, 8)))
    np.savez(made / "rows.npz", x=random.normal(size=(ROWS, TOKENS, NARROW)).astype(np.float32))
    np.savez_compressed(made / "pictures.npz", x=np.zeros((YIELDED_ROWS, 3, 256, 256), np.float32))
    titles = ",".join(f"x[{column}]" for column in range(COLUMNS))
    np.savetxt(made / "table.csv", random.normal(size=(24_000, COLUMNS)), "%.6f", ",", header=titles, comments="")
    (made / "images").mkdir()
    Image.new("RGB", (32, 32), "red").save(made / "images" / "0.png")
    for number in range(1, YIELDED_ROWS):
        (made / "images" / f"{number}.png").hardlink_to(made / "images" / "0.png")
    return made


@pytest.mark.parametrize("rows", ["npz", "csv", "images", "module"])
def test_rows_are_read_in_bounded_memory(rows: str, folder: Path) -> None:
    assert grown_bytes(rows, folder) < MOST_BYTES


@pytest.mark.parametrize(
    "recipe", ["int8", "int8-entropy", "int8-percentile", "int8-smooth", "int8-corrected", "int4-weight-gptq"]
)
def test_calibration_keeps_no_activations(recipe: str, folder: Path) -> None:
    """There are 131 MB of each of four tensors."""
    assert grown_bytes(recipe, folder) < MOST_BYTES


def grown_bytes(task: str, folder: Path) -> int:
    words = [sys.executable, "-m", "tests.engines.quantize.peak_memory", task, folder]
    return int(subprocess.run(words, check=True, capture_output=True).stdout)
