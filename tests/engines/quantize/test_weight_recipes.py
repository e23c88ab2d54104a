"""Recipes for transformers, on a small one with random weights and a few large channels."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from benchmarks.networks import Network, mlp
from engines import onnxruntime_engine
from engines.onnx_file import read_onnx
from engines.quantize.activations import activations
from engines.quantize.layers import measure_layers
from engines.quantize.open_rows import open_rows
from engines.quantize.recipe import Made, Options, Source
from engines.quantize.recipes import RECIPES
from engines.quantize.rows import Rows, RowsSpec
from engines.quantize.smoothquant import smooth
from tests.engines.quantize.conftest import DIGITS
from tests.graphs import model, node, operator, save, value

RECIPE = {recipe.name: recipe for recipe in RECIPES}
WIDTH, HEADS, SEQUENCE, WORDS = 64, 4, 16, 500
LEAST_DB = {  # name -> signal-to-noise that it keeps, and the most bytes as a share of the source's
    "int8": (26, 0.31),
    "int8-dynamic": (26, 0.31),
    "int8-smooth": (28, 0.31),
    "int8-dynamic-smooth": (28, 0.31),
    "int8-weight": (32, 0.60),
    "int4-weight": (15, 0.42),
    "int4-weight-hqq": (17, 0.42),
    "int4-weight-gptq": (17, 0.42),
    "fp16": (60, 0.52),
}


def transformer(path: Path) -> Path:
    """Token ids [N,16] -> [N,64]: two layers that normalise first, whose normalisations have a few large channels."""
    net = Network(0)
    x = net.add("Gather", net.normal(WORDS, WIDTH, fan_in=1), "ids")
    for _ in range(2):
        x = net.add("Add", x, attention(net, normalised(net, x)))
        inner = net.add("Gelu", net.dense(normalised(net, x), WIDTH, 4 * WIDTH))
        x = net.add("Add", x, net.dense(inner, 4 * WIDTH, WIDTH))
    net.add("ReduceMean", x, net.constant([1], np.int64), output="embedding", keepdims=0)
    takes = helper.make_tensor_value_info("ids", TensorProto.INT64, ["N", SEQUENCE])
    return net.save(path, takes, helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", WIDTH]))


def normalised(net: Network, x: str) -> str:
    gains = np.ones(WIDTH)
    gains[:3] = 20
    return net.add("LayerNormalization", x, net.constant(gains), net.constant(np.zeros(WIDTH)))


def attention(net: Network, x: str) -> str:
    size = WIDTH // HEADS
    split = net.constant([0, SEQUENCE, HEADS, size], np.int64)

    def heads(order: list[int]) -> str:
        return net.add("Transpose", net.add("Reshape", net.dense(x, WIDTH, WIDTH), split), perm=order)

    scores = net.add("MatMul", heads([0, 2, 1, 3]), heads([0, 2, 3, 1]))
    weights = net.add("Softmax", net.add("Div", scores, net.constant(8 * np.sqrt(size))), axis=-1)
    mixed = net.add("Transpose", net.add("MatMul", weights, heads([0, 2, 1, 3])), perm=[0, 2, 1, 3])
    return net.dense(net.add("Reshape", mixed, net.constant([0, SEQUENCE, WIDTH], np.int64)), WIDTH, WIDTH)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    path = transformer(tmp_path_factory.mktemp("transformer") / "model.onnx")
    return Source(path, read_onnx(path).signature)


@pytest.fixture(scope="module")
def rows(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    np.savez(path, ids=np.random.default_rng(1).integers(0, WORDS, (48, SEQUENCE)))
    return open_rows(RowsSpec(str(path)), source.signature)


def make(name: str, source: Source, rows: Rows, folder: Path, *exclude: str) -> Made:
    recipe = RECIPE[name]
    assert recipe.refuses(source) is None
    return recipe.make(source, rows if recipe.calibrates else None, folder, Options(exclude), lambda what, done: None)


def answers(path: Path, source: Source, rows: Rows) -> np.ndarray:
    engine = onnxruntime_engine.load(path, source.signature, instances=1, threads=1)
    try:
        return np.asarray(engine.runner().run(next(iter(rows.batches(48))).inputs)["embedding"])
    finally:
        engine.close()


def sqnr_db(expected: np.ndarray, found: np.ndarray) -> float:
    return float(10 * np.log10((expected**2).sum() / ((expected - found) ** 2).sum()))


@pytest.mark.parametrize("name", LEAST_DB)
def test_a_variant_of_a_transformer_keeps_signature_and_signal(
    name: str, source: Source, rows: Rows, tmp_path: Path
) -> None:
    made = make(name, source, rows, tmp_path)
    assert read_onnx(made.main).signature == source.signature
    least_db, most_bytes = LEAST_DB[name]
    found = sqnr_db(answers(source.path, source, rows), answers(made.main, source, rows))
    assert found >= least_db
    assert made.main.stat().st_size <= most_bytes * source.path.stat().st_size


def test_static_products_are_fused_and_those_of_attention_stay_float(
    source: Source, rows: Rows, tmp_path: Path
) -> None:
    found = operators(make("int8", source, rows, tmp_path).main, tmp_path)
    assert found["MatMulIntegerToFloat"] == 12
    assert found["MatMul"] + found["FusedMatMul"] == 4, "two in each layer multiply what is computed"


def test_an_excluded_product_stays_float(source: Source, rows: Rows, tmp_path: Path) -> None:
    (name, *_) = (node.output[0] for node in onnx.load(source.path).graph.node if node.op_type == "MatMul")
    for recipe, quantized in (("int8", "MatMulIntegerToFloat"), ("int4-weight", "MatMulNBits")):
        assert operators(make(recipe, source, rows, tmp_path, name).main, tmp_path)[quantized] == 11


def test_blocks_need_a_product_with_constant_weights(tmp_path: Path) -> None:
    path = save(operator("Relu"), tmp_path / "relu.onnx")
    for name in ("int8-weight", "int4-weight", "int4-weight-hqq", "int4-weight-gptq"):
        assert RECIPE[name].refuses(Source(path, read_onnx(path).signature)) == (
            "the model has no MatMul or Gemm with constant FP32 weights, and only those can be held in blocks"
        )


@pytest.mark.parametrize("name", ["int8-weight", "int4-weight", "int4-weight-hqq", "int4-weight-gptq"])
def test_a_product_that_preparing_fused_with_its_bias_is_held_in_blocks(name: str, tmp_path: Path) -> None:
    path = mlp(tmp_path / "mlp.onnx")
    source = Source(path, read_onnx(path).signature)
    np.savez(tmp_path / "rows.npz", x=np.random.default_rng(0).normal(size=(40, 64)).astype(np.float32))
    rows = open_rows(RowsSpec(str(tmp_path / "rows.npz")), source.signature)
    made = make(name, source, rows, tmp_path)
    assert operators(made.main, tmp_path)["MatMulNBits"] == 2
    products = [node.name or node.output[0] for node in onnx.load(path).graph.node if node.op_type == "MatMul"]
    assert {layer.node for layer in measure_layers(source, made.main, rows)} == set(products)


def test_the_last_layer_of_digits_is_held_in_blocks(digits: Source, tmp_path: Path) -> None:
    made = make("int8-weight", digits, open_rows(RowsSpec(str(DIGITS / "test.npz")), digits.signature), tmp_path)
    assert operators(made.main, tmp_path)["MatMulNBits"] == 1
    with np.load(DIGITS / "test.npz") as test:
        one, other = (
            onnxruntime.InferenceSession(path).run(None, {"image": test["image"]})[0]
            for path in (digits.path, made.main)
        )
    assert 35 < sqnr_db(one, other) < 60


def test_nodes_that_share_their_weights_go_on_to_share_them(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(128, 128)).astype(np.float32)
    ends = [value("x", shape=("N", 128))], [value("y", shape=("N", 128))]
    nodes = [node("Gemm", ["x", "w"], ["h"], transB=1), node("Gemm", ["h", "w"], ["y"], transB=1)]
    path = save(model(nodes, *ends, {"w": weights}), tmp_path / "shared.onnx")
    source = Source(path, read_onnx(path).signature)
    recipe = RECIPE["int8-weight"]
    made = recipe.make(source, None, tmp_path, Options(), lambda what, done: None)
    assert operators(made.main, tmp_path)["MatMulNBits"] == 2
    assert made.main.stat().st_size < 0.35 * path.stat().st_size


def operators(path: Path, folder: Path) -> Counter[str]:
    """What ONNX Runtime makes of a file: its optimised graph."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)


@pytest.mark.parametrize("feeds_others", [False, True])
def test_smoothing_changes_nothing_in_fp32(source: Source, rows: Rows, tmp_path: Path, feeds_others: bool) -> None:
    made = onnx.load(source.path)
    nodes = made.graph.node
    for one in nodes:
        one.name = one.output[0]
    before, after = tmp_path / "before.onnx", tmp_path / "after.onnx"
    if feeds_others:  # as where the residual takes what is normalised
        (mean,) = (one for one in nodes if one.op_type == "ReduceMean")
        last = [one for one in nodes if one.op_type == "LayerNormalization"][-1]
        both = node("Add", [mean.input[0], last.output[0]], ["both"])
        mean.input[0] = "both"
        nodes.insert(len(nodes) - 1, both)
    onnx.save(made, before)
    onnx.save(made, after)
    assert smooth(after, rows) == 4
    added = len(onnx.load(after).graph.node) - len(nodes)
    assert added == feeds_others, "one Mul where the factor cannot go into the normalisation"
    np.testing.assert_allclose(answers(after, source, rows), answers(before, source, rows), rtol=1e-3, atol=1e-4)
    outputs = [node.output[0] for node in onnx.load(after).graph.node if node.op_type == "LayerNormalization"]
    spreads = [spread(path, outputs, rows) for path in (before, after)]
    assert spreads[1][0] < spreads[0][0] / 2, "the large channels have come nearer to the others"


def spread(path: Path, tensors: list[str], rows: Rows) -> list[float]:
    """The largest channel of each tensor over the median one."""
    batch = next(activations(path, tensors, rows))
    channels = [np.abs(values).reshape(-1, WIDTH).max(axis=0) for values in batch.values()]
    return [float(one.max() / np.median(one)) for one in channels]


@pytest.mark.parametrize("kind", ["layer norm", "written out", "root mean square"])
def test_products_of_matrices_are_smoothed_behind_any_normalization(kind: str, tmp_path: Path) -> None:
    """Two axes, so that each product is fused with its bias; one normalization is what exporters of opset 11 write."""
    net = Network(0)
    gains = np.ones(WIDTH)
    gains[:3] = 30
    gain, shift = net.constant(gains), net.constant(np.full(WIDTH, 0.1))
    if kind == "layer norm":
        x = net.add("LayerNormalization", "x", gain, shift)
    else:
        centred = net.add("Sub", "x", net.add("ReduceMean", "x", net.constant([1], np.int64)))
        variance = net.add("ReduceMean", net.add("Mul", centred, centred), net.constant([1], np.int64))
        x = net.add("Mul", net.add("Div", centred, net.add("Sqrt", variance)), gain)
        x = net.add("Add", x, shift) if kind == "written out" else x
    net.add("Identity", net.dense(net.add("Gelu", net.dense(x, WIDTH, WIDTH)), WIDTH, 8), output="y")
    takes, gives = value("x", shape=("N", WIDTH)), value("y", shape=("N", 8))
    path = net.save(tmp_path / "source.onnx", takes, gives)
    source = Source(path, read_onnx(path).signature)
    np.savez(tmp_path / "rows.npz", x=np.random.default_rng(1).normal(size=(64, WIDTH)).astype(np.float32))
    rows = open_rows(RowsSpec(str(tmp_path / "rows.npz")), source.signature)
    plain, smoothed = (made_sqnr(name, source, rows, tmp_path) for name in ("int8", "int8-smooth"))
    assert smoothed > plain + 2
    made = make("int8-smooth", source, rows, tmp_path)
    assert x not in {layer.tensor for layer in measure_layers(source, made.main, rows)}, "it is another tensor now"


def made_sqnr(name: str, source: Source, rows: Rows, folder: Path) -> float:
    made = make(name, source, rows, folder)
    inputs = dict(next(iter(rows.batches(64))).inputs)
    one, other = (onnxruntime.InferenceSession(path).run(None, inputs)[0] for path in (source.path, made.main))
    return sqnr_db(one, other)


def test_smoothing_needs_a_normalisation(digits: Source) -> None:
    for name in ("int8-smooth", "int8-dynamic-smooth"):
        why_not = RECIPE[name].refuses(digits)
        assert why_not == "the model has no normalization in front of a MatMul or Gemm with constant FP32 weights"
