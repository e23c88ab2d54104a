"""Recipes for transformers, on a small one with random weights and a few large channels."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from benchmarks.networks import Network
from engines import onnxruntime_engine
from engines.onnx_file import read_onnx
from engines.quantize.activations import activations
from engines.quantize.open_rows import open_rows
from engines.quantize.recipe import Made, Options, Source
from engines.quantize.recipes import RECIPES
from engines.quantize.rows import Rows, RowsSpec
from engines.quantize.smoothquant import smooth

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


def test_blocks_need_a_product_with_constant_weights(digits: Source) -> None:
    for name in ("int8-weight", "int4-weight", "int4-weight-hqq", "int4-weight-gptq"):
        assert RECIPE[name].refuses(digits) == (
            "the model has no MatMul with constant FP32 weights, and only those can be held in blocks"
        )


def operators(path: Path, folder: Path) -> Counter[str]:
    """What ONNX Runtime makes of a file: its optimised graph."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)


@pytest.mark.parametrize("feeds_others", [False, True])
def test_smoothing_changes_nothing_in_fp32(source: Source, rows: Rows, tmp_path: Path, feeds_others: bool) -> None:
    model = onnx.load(source.path)
    for node in model.graph.node:
        node.name = node.output[0]
    before, after = tmp_path / "before.onnx", tmp_path / "after.onnx"
    if feeds_others:  # as where the residual takes what is normalised
        (mean,) = (node for node in model.graph.node if node.op_type == "ReduceMean")
        last = [node for node in model.graph.node if node.op_type == "LayerNormalization"][-1]
        both = helper.make_node("Add", [mean.input[0], last.output[0]], ["both"])
        mean.input[0] = "both"
        model.graph.node.insert(len(model.graph.node) - 1, both)
    onnx.save(model, before)
    onnx.save(model, after)
    assert smooth(after, rows) == 4
    added = len(onnx.load(after).graph.node) - len(model.graph.node)
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


def test_smoothing_needs_a_normalisation(digits: Source) -> None:
    for name in ("int8-smooth", "int8-dynamic-smooth"):
        why_not = RECIPE[name].refuses(digits)
        assert why_not == "the model has no LayerNormalization in front of a MatMul with constant FP32 weights"
