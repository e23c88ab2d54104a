"""OpenVINO's INT8, made by NNCF in its own environment (`make tools`) and run by the engine, on real digits."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.networks import Network
from engines import onnxruntime_engine, openvino_engine
from engines.batch_mates import changes
from engines.engine import Array
from engines.errors import QuantizeError
from engines.machine import has_bf16
from engines.onnx_file import read_onnx
from engines.quantize import tools
from engines.quantize.openvino_nncf import OPENVINO_INT8, OpenVinoInt8
from engines.quantize.recipe import Made, Options, Source
from engines.quantize.rows import RowsSpec
from tests.engines.quantize.conftest import DIGITS

PLAIN, ACCURATE = OPENVINO_INT8
ROWS = RowsSpec(str(DIGITS / "calibration.npz"))

MakeDigits = Callable[..., Made]


@pytest.fixture(scope="module")
def make_digits(digits: Source, tmp_path_factory: pytest.TempPathFactory) -> MakeDigits:
    def make(recipe: OpenVinoInt8, *exclude: str) -> Made:
        assert tools.missing(recipe) is None
        assert recipe.refuses(digits) is None
        folder = tmp_path_factory.mktemp(recipe.name)
        return tools.make(recipe, digits, ROWS, folder, Options(exclude), lambda what, done: None)

    return make


@pytest.fixture(scope="module")
def plain(make_digits: MakeDigits) -> Made:
    return make_digits(PLAIN)


def test_the_rest_is_in_bf16_where_that_is_fast_and_nothing_was_left_float_for_exactness(
    plain: Made, make_digits: MakeDigits
) -> None:
    assert plain.details["rest"] == ("bf16" if has_bf16() else "f32")
    assert make_digits(PLAIN, "node_Conv_84").details["rest"] == "f32"
    assert make_digits(ACCURATE).details["rest"] == "f32"


def saved(net: Network, folder: Path, x: Array, *shapes: tuple[int, ...]) -> tuple[Source, RowsSpec]:
    """The network from `x` to `y`, of rows of these shapes, and such rows."""
    values = (onnx.helper.make_tensor_value_info(n, 1, ["N", *shape]) for n, shape in zip("xy", shapes, strict=True))
    path = net.save(folder / "model.onnx", *values)
    np.savez(folder / "rows.npz", x=x)
    return Source(path, read_onnx(path).signature), RowsSpec(str(folder / "rows.npz"))


def run(path: Path, source: Source, rows: Array) -> Array:
    module = onnxruntime_engine if path.suffix == ".onnx" else openvino_engine
    engine = module.load(path, source.signature, instances=1, threads=1)
    try:
        (answer,) = engine.runner().run({source.signature.inputs[0].name: rows}).values()
        return answer
    finally:
        engine.close()


def logits(path: Path, source: Source) -> Array:
    with np.load(DIGITS / "test.npz") as rows:
        return run(path, source, rows["image"])


def sqnr_db(made: Made, source: Source) -> float:
    expected, found = logits(source.path, source), logits(made.main, source)
    return float(10 * np.log10(np.square(expected).sum() / np.square(expected - found).sum()))


def accuracy(path: Path, source: Source) -> float:
    with np.load(DIGITS / "test.npz") as rows:
        return float((logits(path, source).argmax(axis=1) == rows["labels"]).mean())


def test_it_keeps_accuracy_and_size(plain: Made, digits: Source) -> None:
    assert accuracy(plain.main, digits) >= accuracy(digits.path, digits) - 0.004
    assert sqnr_db(plain, digits) > 30
    assert plain.external["model.bin"].stat().st_size < 0.26 * digits.path.stat().st_size


def test_what_adds_to_the_error_is_left_out(plain: Made) -> None:
    """Here bias correction does."""
    assert plain.details["bias_corrected"] is False
    assert plain.details["calibration_sqnr_db"] > 30


def test_rows_do_not_influence_each_other(plain: Made, digits: Source) -> None:
    engine = openvino_engine.load(plain.main, digits.signature, instances=1, threads=1)
    with np.load(DIGITS / "test.npz") as rows:
        found = changes(engine.runner(), {"image": rows["image"][:8]})
    assert {change.difference for change in found} == {0.0}
    engine.close()


def test_the_weights_are_the_same_each_time(plain: Made, make_digits: MakeDigits) -> None:
    again = make_digits(PLAIN)
    assert again.external["model.bin"].read_bytes() == plain.external["model.bin"].read_bytes()


def test_an_excluded_layer_keeps_its_weights(plain: Made, make_digits: MakeDigits, digits: Source) -> None:
    weights = {
        node.name: onnx.numpy_helper.to_array(tensor).tobytes()
        for node in onnx.load(digits.path).graph.node
        for tensor in onnx.load(digits.path).graph.initializer
        if node.op_type == "Conv" and tensor.name == node.input[1]
    }
    assert len(weights) == 5
    without = make_digits(PLAIN, "node_Conv_84").external["model.bin"].read_bytes()
    assert [name for name, values in weights.items() if values in without] == ["node_Conv_84"]
    assert not [name for name, values in weights.items() if values in plain.external["model.bin"].read_bytes()]


def test_excluding_what_is_not_there_names_what_is_near(make_digits: MakeDigits) -> None:
    with pytest.raises(QuantizeError, match=r"no node 'node_Conv_85' to exclude; near it are: node_Conv_8\d"):
        make_digits(PLAIN, "node_Conv_85")


def test_with_accuracy_control_no_calibration_row_is_lost(make_digits: MakeDigits, digits: Source) -> None:
    made = make_digits(ACCURATE)
    assert accuracy(made.main, digits) >= accuracy(digits.path, digits) - 0.004
    assert made.external["model.bin"].stat().st_size < 0.5 * digits.path.stat().st_size, "not all is float again"


def test_accuracy_control_makes_layers_float_again_that_cost_accuracy(tmp_path: Path) -> None:
    """The input has a channel that matters little and takes nearly all of the range."""
    net = Network(0)
    weights = net.random.normal(size=(8, 16))
    weights[0] = 1e-5
    hidden = net.add("Relu", net.add("MatMul", "x", net.constant(weights)))
    net.add("MatMul", hidden, net.normal(16, 4, fan_in=16), output="y")
    x = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    x[:, 0] *= 1000
    source, rows = saved(net, tmp_path, x, (8,), (4,))
    agreement = {}
    for recipe in (PLAIN, ACCURATE):
        (tmp_path / recipe.name).mkdir()
        made = tools.make(recipe, source, rows, tmp_path / recipe.name, Options(), lambda what, done: None)
        agreement[recipe] = (run(source.path, source, x).argmax(1) == run(made.main, source, x).argmax(1)).mean()
    assert agreement[PLAIN] < 0.9
    assert agreement[ACCURATE] == 1


def test_a_transformer_with_outliers_is_smoothed(tmp_path: Path) -> None:
    net = Network(0)
    gamma = np.ones(64)
    gamma[[3, 17, 40]] = 60
    x = net.add("LayerNormalization", "x", net.constant(gamma), net.constant(np.zeros(64)))
    y = net.dense(net.add("Gelu", net.dense(x, 64, 128)), 128, 8)
    net.add("Identity", y, output="y")
    x = np.random.default_rng(0).normal(size=(32, 4, 64)).astype(np.float32)
    source, rows = saved(net, tmp_path, x, (4, 64), (4, 8))
    made = tools.make(PLAIN, source, rows, tmp_path, Options(), lambda what, done: None)
    assert made.details["smoothed"] is True


def test_a_model_without_weights_is_refused(tmp_path: Path) -> None:
    net = Network(0)
    net.add("Relu", "x", output="y")
    takes, gives = (onnx.helper.make_tensor_value_info(name, 1, ["N", 4]) for name in "xy")
    path = net.save(tmp_path / "relu.onnx", takes, gives)
    why_not = PLAIN.refuses(Source(path, read_onnx(path).signature))
    assert why_not is not None
    assert "no Conv, MatMul or Gemm" in why_not
