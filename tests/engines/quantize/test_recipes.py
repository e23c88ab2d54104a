"""Every recipe of ONNX Runtime's on real rows: what fits runs and keeps its promises, what does not says why."""

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from benchmarks.networks import Network, mlp
from engines.errors import QuantizeError
from engines.onnx_file import read_onnx
from engines.quantize.open_rows import open_rows
from engines.quantize.recipe import Made, Options, Recipe, Source
from engines.quantize.recipes import RECIPES
from engines.quantize.rows import Rows, RowsSpec

DIGITS = Path("examples/digits").resolve()
OURS = {recipe.name: recipe for recipe in RECIPES if recipe.engine == "onnxruntime" and not recipe.needs}
FIT_DIGITS = {  # name -> the most bytes, as a share of the source's
    "int8": 0.275,
    "int8-entropy": 0.275,
    "int8-percentile": 0.275,
    "int8-symmetric": 0.28,
    "int8-per-tensor": 0.27,
    "int8-dynamic": 1.0,
    "fp16": 0.51,
    "int8-tensorrt": 0.28,
}


@pytest.fixture(scope="module")
def rows(digits: Source) -> Rows:
    return open_rows(RowsSpec(str(DIGITS / "calibration.npz")), digits.signature)


def make(recipe: Recipe, source: Source, rows: Rows | None, folder: Path, options: Options = Options()) -> Made:  # noqa: B008
    assert recipe.refuses(source) is None
    return recipe.make(source, rows if recipe.calibrates else None, folder, options, lambda what, done: None)


def operators(path: Path, folder: Path) -> Counter[str]:
    """What ONNX Runtime makes of a file: its optimised graph."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)


def run(path: Path, **inputs: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, inputs)[0])


@pytest.mark.parametrize("name", FIT_DIGITS)
def test_a_variant_of_digits_keeps_signature_and_accuracy(
    name: str, digits: Source, rows: Rows, tmp_path: Path
) -> None:
    made = make(OURS[name], digits, rows, tmp_path)
    assert read_onnx(made.main).signature == digits.signature
    assert made.main.stat().st_size < FIT_DIGITS[name] * digits.path.stat().st_size
    with np.load(DIGITS / "test.npz") as test:
        right = [run(path, image=test["image"]).argmax(1) == test["labels"] for path in (digits.path, made.main)]
    assert right[1].mean() >= right[0].mean() - 0.01


def test_asymmetric_static_fuses_every_convolution_and_activation(digits: Source, rows: Rows, tmp_path: Path) -> None:
    made = make(OURS["int8"], digits, rows, tmp_path)
    found = operators(made.main, tmp_path)
    assert (found["QLinearConv"], found["QLinearGlobalAveragePool"], found["QGemm"]) == (5, 1, 1)
    assert not {"Conv", "Relu", "Gemm", "ReduceMean", "DequantizeLinear"} & set(found)


def test_dynamic_leaves_convolutions_alone(digits: Source, tmp_path: Path) -> None:
    found = operators(make(OURS["int8-dynamic"], digits, None, tmp_path).main, tmp_path)
    assert (found["Conv"], found["DynamicQuantizeMatMul"]) == (5, 1)


def test_an_excluded_layer_stays_float(digits: Source, rows: Rows, tmp_path: Path) -> None:
    made = make(OURS["int8"], digits, rows, tmp_path, Options(exclude=("node_Conv_84",)))
    found = operators(made.main, tmp_path)
    assert (found["QLinearConv"], found["Conv"]) == (4, 1)


def test_excluding_what_is_not_there_names_what_is_near(digits: Source, rows: Rows, tmp_path: Path) -> None:
    with pytest.raises(QuantizeError, match=r"no node 'node_Conv_85' to exclude; near it are: node_Conv_8\d"):
        make(OURS["int8"], digits, rows, tmp_path, Options(exclude=("node_Conv_85",)))


def test_where_all_is_excluded_nothing_is_made(digits: Source, rows: Rows, tmp_path: Path) -> None:
    nodes = tuple(node.name for node in onnx.load(digits.path).graph.node)
    with pytest.raises(QuantizeError, match="nothing was quantized in this model; exclude fewer nodes"):
        make(OURS["int8"], digits, rows, tmp_path, Options(exclude=nodes))


def test_preparing_changes_nothing_about_logging(digits: Source, tmp_path: Path) -> None:
    root = logging.getLogger()
    before = root.level, list(root.handlers), list(root.filters)
    make(OURS["int8-dynamic"], digits, None, tmp_path)
    assert (root.level, root.handlers, root.filters) == before


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("int8", "no Conv, MatMul or Gemm with constant"),
        ("int8-dynamic", "no MatMul, Gemm or Gather with constant"),
        ("fp16", "no FP32 weights"),
        ("bf16", "loads no BF16"),
        ("int8-tensorrt", "no Conv, MatMul or Gemm with constant"),
    ],
)
def test_a_recipe_refuses_a_model_without_what_it_quantizes(name: str, told: str, tmp_path: Path) -> None:
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 4]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "relu", value[:1], value[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)]), tmp_path / "relu.onnx")
    why_not = OURS[name].refuses(Source(tmp_path / "relu.onnx", read_onnx(tmp_path / "relu.onnx").signature))
    assert why_not is not None
    assert told in why_not


@pytest.mark.parametrize("name", ["int8", "int8-corrected"])
def test_rows_that_the_model_cannot_run_are_refused(name: str, tmp_path: Path) -> None:
    net = Network(0)
    net.dense(net.add("Gather", net.normal(10, 8, fan_in=1), "ids"), 8, 4)
    net.add("Identity", net.nodes[-1].output[0], output="y")
    takes = onnx.helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["N"])
    gives = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 4])
    path = net.save(tmp_path / "words.onnx", takes, gives)
    source = Source(path, read_onnx(path).signature)
    np.savez(tmp_path / "rows.npz", ids=np.array([1, 2, 99]))
    with pytest.raises(QuantizeError, match=r"does not run on the calibration rows.*out of data bounds"):
        make(OURS[name], source, open_rows(RowsSpec(str(tmp_path / "rows.npz")), source.signature), tmp_path)


@pytest.mark.parametrize("name", ["int8", "int8-entropy", "int8-corrected", "int8-tensorrt"])
def test_a_model_without_batch_axis_is_calibrated_row_by_row(name: str, tmp_path: Path) -> None:
    model = onnx.load(mlp(tmp_path / "mlp.onnx"))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, tmp_path / "fixed.onnx")
    source = Source(tmp_path / "fixed.onnx", read_onnx(tmp_path / "fixed.onnx").signature)
    assert source.signature.batch_axis is None
    np.savez(tmp_path / "rows.npz", x=np.random.default_rng(0).normal(size=(40, 64)).astype(np.float32))
    made = make(OURS[name], source, open_rows(RowsSpec(str(tmp_path / "rows.npz")), source.signature), tmp_path)
    assert read_onnx(made.main).signature == source.signature
    assert made.details["rows"] == 40
