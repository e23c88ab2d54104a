"""What is OpenVINO's own affair."""

import sys
from pathlib import Path

import numpy as np
import openvino
import pytest
from onnx import GraphProto, helper

from app.lifespan import open_openvino
from engines import onnxruntime_engine, openvino_engine
from engines.errors import InputRefused, LoadError, QuantizeError, RunError
from engines.machine import describe
from engines.onnx_file import read_onnx
from engines.onnx_signature import signature_of
from engines.quantize.openvino_float import OPENVINO_FLOAT
from engines.quantize.recipe import Options, Source
from tests.graphs import identity, model, node, save, value

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


@pytest.mark.parametrize(("hint", "instances", "threads"), [("LATENCY", 1, 2), ("THROUGHPUT", 2, 1)])
def test_workers_are_the_streams_that_a_hint_would_set(hint: str, instances: int, threads: int) -> None:
    """With two cores; asked of OpenVINO, since nothing but the speed would show it."""
    path = DIGITS / "digits.onnx"
    engine = openvino_engine.load(path, read_onnx(path).signature, instances=instances, threads=threads)
    hinted = openvino.Core().compile_model(path, "CPU", {"PERFORMANCE_HINT": hint, "INFERENCE_NUM_THREADS": 2})
    assert engine._compiled is not None
    for name, expected in (("NUM_STREAMS", instances), ("INFERENCE_NUM_THREADS", 2)):
        assert engine._compiled.get_property(name) == hinted.get_property(name) == expected
    engine.close()


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


@pytest.mark.parametrize(("dtype", "why"), [("float64", "computes float64 in float32"), ("string", "runs no text")])
def test_what_it_would_compute_in_another_dtype_is_refused(dtype: str, why: str, tmp_path: Path) -> None:
    """OpenVINO itself answers 3.4e38 for 1e300, and says nothing."""
    path = save(identity(dtype, ["N"]), tmp_path / "model.onnx")
    with pytest.raises(LoadError, match=rf"OpenVINO {why}, and \['x', 'y'\] are {dtype}; serve this model with"):
        openvino_engine.load(path, read_onnx(path).signature, instances=1, threads=1)


def test_a_run_without_memory_is_not_the_callers_fault_and_the_next_one_runs(tmp_path: Path) -> None:
    shapes = [value("x", "float32", ["N", 1]), value("z", "float32", [1, "M"])]
    product = model([node("MatMul", ["x", "z"], ["y"])], shapes, [value("y", "float32", ["N", "M"])])
    path = save(product, tmp_path / "model.onnx")
    runner = openvino_engine.load(path, read_onnx(path).signature, instances=1, threads=1).runner()
    many = np.ones((1 << 21, 1), np.float32)
    with pytest.raises(RunError, match="OpenVINO failed while running"):
        runner.run({"x": many, "z": many.T})
    assert runner.run({"x": many[:2], "z": many[:3].T})["y"].tolist() == [[1, 1, 1], [1, 1, 1]]


def test_a_model_that_cannot_be_converted_is_told_in_one_line(tmp_path: Path) -> None:
    """What the values of an input decide is of no rank that OpenVINO knows."""
    nodes = [node("If", ["c"], ["r"], then_branch=_branch("Identity"), else_branch=_branch("Squeeze"))]
    nodes += [node("Conv", ["r", "w"], ["y"])]
    weights = {"w": np.ones((1, 1, 1), np.float32)}
    ends = [value("x", "float32", ["N", 1, 3]), value("c", "bool", [])], [value("y", "float32", None)]
    path = save(model(nodes, *ends, weights), tmp_path / "model.onnx")
    recipe = OPENVINO_FLOAT[0]
    source = Source(path, signature_of(model(nodes, *ends, weights).graph))
    with pytest.raises(QuantizeError, match=r"^OpenVINO cannot read this model: Conversion is failed for: Conv-\d+$"):
        recipe.make(source, None, tmp_path, Options(), lambda what, done: None)


def _branch(operator: str) -> GraphProto:
    return helper.make_graph([node(operator, ["x"], [operator])], operator, [], [value(operator, "float32", None)])
