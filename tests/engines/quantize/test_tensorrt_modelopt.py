"""Recipes of NVIDIA's Model Optimizer. It is too large for the checks: what it makes is seen where it is installed."""

from pathlib import Path

import numpy as np
import pytest

from engines.elsewhere import python_of
from engines.errors import QuantizeError
from engines.onnx_file import read_onnx
from engines.quantize import tools
from engines.quantize.recipe import Made, Options, Source
from engines.quantize.rows import RowsSpec
from engines.quantize.tensorrt_modelopt import MODEL_OPTIMIZER, ModelOptimizer
from engines.tensorrt.build_apart import check
from tests.engines.quantize.conftest import DIGITS, Open
from tests.graphs import doubling, operator, save

FP16, FP8 = MODEL_OPTIMIZER
installed = pytest.mark.skipif(
    not python_of("modelopt").exists(), reason=f"Model Optimizer is not set up: {tools.missing(FP8)}"
)


@pytest.mark.parametrize("recipe", MODEL_OPTIMIZER, ids=lambda recipe: recipe.name)
def test_where_it_is_not_installed_it_is_said_how_to(
    recipe: ModelOptimizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCTET_TOOLS", str(tmp_path))
    environment = tmp_path / "modelopt"
    assert tools.missing(recipe) == (
        f"it is made in an environment of its own, and there is no {environment}; set it up by "
        f"`python3 -m venv {environment}` and "
        f"`{environment}/bin/pip install 'nvidia-modelopt[onnx]' ml_dtypes pillow`, "
        "or say in OCTET_TOOLS where such environments are"
    )


def test_a_model_without_weights_or_batch_axis_is_refused(tmp_path: Path) -> None:
    path = save(doubling(), tmp_path / "doubling.onnx")
    assert "no Conv, MatMul or Gemm" in str(FP8.refuses(Source(path, read_onnx(path).signature)))
    path = save(operator("Relu", shape=(2, 2)), tmp_path / "fixed.onnx")
    assert "the model has none" in str(FP16.refuses(Source(path, read_onnx(path).signature)))


def make(recipe: ModelOptimizer, digits: Source, folder: Path, *exclude: str) -> Made:
    rows = RowsSpec(str(DIGITS / "calibration.npz"), most_rows=20, seed=0)
    return tools.make(recipe, digits, rows, folder, Options(exclude), lambda what, done: None)


@installed
@pytest.mark.parametrize(
    ("recipe", "precisions"), [(FP16, {"fp16"}), (FP8, {"fp8", "fp16"})], ids=lambda one: getattr(one, "name", "")
)
def test_what_it_makes_keeps_the_signature_and_is_taken_by_tensorrt(
    recipe: ModelOptimizer, precisions: set[str], digits: Source, tmp_path: Path, open_digits: Open
) -> None:
    made = make(recipe, digits, tmp_path)
    assert read_onnx(made.main).signature == digits.signature
    found = check(made.main, digits.signature)
    assert found.refusals == ()
    assert set(found.precisions.values()) == precisions
    with np.load(DIGITS / "test.npz") as test:
        answers = open_digits(made.main).runner().run({"image": test["image"]})
        assert (answers["logits"].argmax(1) == test["labels"]).mean() > 0.98


@installed
@pytest.mark.parametrize("recipe", MODEL_OPTIMIZER, ids=lambda recipe: recipe.name)
def test_an_excluded_layer_is_left_out(recipe: ModelOptimizer, digits: Source, tmp_path: Path) -> None:
    made = make(recipe, digits, tmp_path, "node_Conv_84")
    found = check(made.main, digits.signature).precisions
    assert found["node_Conv_84"] == ("fp32" if recipe is FP16 else "fp16")
    with pytest.raises(QuantizeError, match="no node 'node_Conv_85' to exclude; near it are"):
        make(recipe, digits, tmp_path, "node_Conv_85")
