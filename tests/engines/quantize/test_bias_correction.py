"""Bias correction takes the mean error of a channel away, and changes nothing else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks.networks import Network, mlp
from engines.engine import Array, Engine
from engines.errors import QuantizeError
from engines.onnx_file import read_onnx
from engines.quantize.arithmetic import sqnr_db
from engines.quantize.open_rows import open_rows
from engines.quantize.recipe import Made, Options, Source
from engines.quantize.recipes import RECIPES
from engines.quantize.rows import Rows, RowsSpec

RECIPE = {recipe.name: recipe for recipe in RECIPES}
DIGITS = Path("examples/digits").resolve()


def made(name: str, source: Source, rows: Rows, folder: Path) -> Made:
    (folder / name).mkdir()
    return RECIPE[name].make(source, rows, folder / name, Options(), lambda what, done: None)


def test_the_mean_error_of_digits_goes_away(
    digits: Source, open_digits: Callable[[Path], Engine], tmp_path: Path
) -> None:
    rows = open_rows(RowsSpec(str(DIGITS / "calibration.npz")), digits.signature)
    with np.load(DIGITS / "test.npz") as test:
        images = {"image": test["image"]}

    def answers(path: Path) -> Array:
        return open_digits(path).runner().run(images)["logits"]

    plain, corrected = (made(name, digits, rows, tmp_path) for name in ("int8", "int8-corrected"))
    expected = answers(digits.path)
    errors = [answers(variant.main) - expected for variant in (plain, corrected)]
    shifts = [np.abs(error.mean(axis=0)).max() for error in errors]
    assert shifts[1] < shifts[0] / 4
    gains = [sqnr_db(float((expected**2).sum()), float((error**2).sum())) for error in errors]
    assert gains[1] > gains[0]
    assert read_onnx(corrected.main).signature == digits.signature
    assert corrected.details["bias_correction"] == {"layers": 6, "rows": 128}


def test_only_biases_change(digits: Source, tmp_path: Path) -> None:
    rows = open_rows(RowsSpec(str(DIGITS / "calibration.npz")), digits.signature)
    graphs = [onnx.load(made(name, digits, rows, tmp_path).main).graph for name in ("int8", "int8-corrected")]
    changed = [one.name for one, other in zip(*(graph.initializer for graph in graphs), strict=True) if one != other]
    assert changed
    assert all(name.endswith("bias_quantized") for name in changed)
    assert list(graphs[0].node) == list(graphs[1].node)


def test_what_is_added_to_a_product_is_its_bias(tmp_path: Path) -> None:
    source = of(mlp(tmp_path / "mlp.onnx"))
    corrected = made("int8-corrected", source, random_rows(source, tmp_path), tmp_path)
    assert corrected.details["bias_correction"]["layers"] == 2
    assert read_onnx(corrected.main).signature == source.signature


def test_without_a_bias_there_is_nothing_to_correct(tmp_path: Path) -> None:
    net = Network(0)
    net.add("MatMul", "x", net.normal(64, 8, fan_in=64), output="y")
    takes, gives = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", k]) for n, k in (("x", 64), ("y", 8)))
    source = of(net.save(tmp_path / "product.onnx", takes, gives))
    with pytest.raises(QuantizeError, match="no quantized layer has a bias of its own"):
        made("int8-corrected", source, random_rows(source, tmp_path), tmp_path)


def of(path: Path) -> Source:
    return Source(path, read_onnx(path).signature)


def random_rows(source: Source, folder: Path) -> Rows:
    np.savez(folder / "rows.npz", x=np.random.default_rng(0).normal(size=(40, 64)).astype(np.float32))
    return open_rows(RowsSpec(str(folder / "rows.npz")), source.signature)
