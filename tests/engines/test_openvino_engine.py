"""What is OpenVINO's own affair."""

import sys
from pathlib import Path

import numpy as np
import pytest

from app.lifespan import open_openvino
from engines import onnxruntime_engine, openvino_engine
from engines.errors import InputRefused, LoadError
from engines.machine import describe
from engines.onnx_file import read_onnx
from engines.quantize.openvino_float import OPENVINO_FLOAT
from engines.quantize.recipe import Options, Source
from tests.graphs import model, node, save, value

DIGITS = Path("examples/digits")


def signal_to_noise_db(recipe: str, folder: Path) -> float:
    """Of the digits' logits, beside ONNX Runtime's."""
    source = Source(DIGITS / "digits.onnx", read_onnx(DIGITS / "digits.onnx").signature)
    (made,) = (
        one.make(source, None, folder, Options(), lambda what, done: None)
        for one in OPENVINO_FLOAT
        if one.name == recipe
    )
    with np.load(DIGITS / "test.npz") as rows:
        sent = {"image": rows["image"]}
    expected, found = (
        module.load(path, source.signature, instances=1, threads=1).runner().run(sent)["logits"]
        for module, path in ((onnxruntime_engine, source.path), (openvino_engine, made.main))
    )
    return float(10 * np.log10(np.square(expected).sum() / np.square(expected - found).sum()))


def test_fp32_is_fp32_also_where_the_processor_has_bf16(tmp_path: Path) -> None:
    assert signal_to_noise_db("fp32-openvino", tmp_path) > 100


def test_bf16_is_bf16_where_the_processor_has_it(tmp_path: Path) -> None:
    if not {"avx512_bf16", "amx_bf16"} & set(describe()["flags"]):
        pytest.skip("this processor has no BF16 instructions")
    assert 30 < signal_to_noise_db("bf16-openvino", tmp_path) < 70


def test_without_the_extra_a_variant_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "engines.openvino_engine")
    with pytest.raises(LoadError, match=r"octet-serving\[openvino\]"):
        open_openvino(DIGITS / "digits.onnx", read_onnx(DIGITS / "digits.onnx").signature, instances=1, threads=1)


def test_shapes_that_do_not_fit_are_refused_after_a_good_run_too(tmp_path: Path) -> None:
    shapes = [value("x", "float32", ["N", "K"]), value("z", "float32", ["M", "L"])]
    matmul = model([node("MatMul", ["x", "z"], ["y"])], shapes, [value("y", "float32", ["N", "L"])])
    path = save(matmul, tmp_path / "m.onnx")
    runner = openvino_engine.load(path, read_onnx(path).signature, instances=1, threads=1).runner()
    three = np.ones((3, 3), np.float32)
    assert runner.run({"x": three, "z": three})["y"].shape == (3, 3)
    with pytest.raises(InputRefused, match="Incompatible"):
        runner.run({"x": np.ones((2, 2), np.float32), "z": three})
