"""The real TensorRT-RTX of `build/tools/tensorrt`, which reads models and builds plans without a GPU.

It shares its parser with TensorRT, and nothing here says anything about speed.
"""

from pathlib import Path

import pytest

from engines.onnx_file import read_onnx
from engines.quantize.open_rows import open_rows
from engines.quantize.recipe import Options, Source
from engines.quantize.recipes import RECIPES
from engines.quantize.rows import RowsSpec

DIGITS = Path("examples/digits").resolve()


@pytest.fixture(scope="session")
def variants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The digits network in FP32, and as recipes make it."""
    source = Source(DIGITS / "digits.onnx", read_onnx(DIGITS / "digits.onnx").signature)
    rows = open_rows(RowsSpec(str(DIGITS / "calibration.npz"), most_rows=20, seed=0), source.signature)
    made = {"fp32": source.path}
    for recipe in RECIPES:
        if recipe.name in ("fp16", "int8", "int8-symmetric", "int8-dynamic", "int4-weight", "int8-tensorrt"):
            folder = tmp_path_factory.mktemp(recipe.name)
            made[recipe.name] = recipe.make(source, rows, folder, Options(), lambda what, done: None).main
    return made
