"""Models as exporters write them are quantized like those that they mean."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, numpy_helper

from engines.onnx_file import read_onnx
from engines.quantize.open_rows import open_rows
from engines.quantize.plain_form import flatten_biases
from engines.quantize.recipe import Options, Source
from engines.quantize.recipes import RECIPES
from engines.quantize.rows import RowsSpec
from tests.graphs import model, node, save, value

RECIPE = {recipe.name: recipe for recipe in RECIPES}
RANDOM = np.random.default_rng(0)
ENDS = [value("x", shape=("N", 3, 8, 8))], [value("y", shape=("N", 16))]
HELD = {
    "w": RANDOM.normal(size=(16, 3, 3, 3)).astype(np.float32),
    "b": RANDOM.normal(size=16).astype(np.float32),
    "m": RANDOM.normal(size=(16, 16)).astype(np.float32),
    "a": RANDOM.normal(size=16).astype(np.float32),
}
SHAPE = {"shape": np.array([0, 16], np.int64)}


def network(first: list[NodeProto]) -> list[NodeProto]:
    """A convolution and a product, behind what makes their weights."""
    return [
        *first,
        node("Conv", ["x", "w", "b"], ["c"]),
        node("Relu", ["c"], ["r"]),
        node("GlobalAveragePool", ["r"], ["p"]),
        node("Reshape", ["p", "shape"], ["f"]),
        node("MatMul", ["f", "m"], ["d"]),
        node("Add", ["d", "a"], ["y"]),
    ]


def of_opset(version: int, held_as_inputs: bool = False) -> ModelProto:
    made = model(network([]), *ENDS, HELD | SHAPE, opsets={"": version})
    made.ir_version = 3 if held_as_inputs else 7
    if held_as_inputs:
        made.graph.input.extend(
            onnx.helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in made.graph.initializer
        )
    return made


def of_constants() -> ModelProto:
    """Weights are values of Constant nodes."""
    first = [node("Constant", [], [key], value=numpy_helper.from_array(held)) for key, held in HELD.items()]
    return model(network(first), *ENDS, SHAPE)


EXPORTED = {
    "opset 11": of_opset(11),
    "opset 12": of_opset(12),
    "opset 24": of_opset(24),
    "initializers are inputs": of_opset(11, held_as_inputs=True),
    "constants are nodes": of_constants(),
}


@pytest.mark.parametrize("recipe", ["int8", "int8-corrected", "int8-dynamic", "int4-weight", "fp16"])
@pytest.mark.parametrize("how", EXPORTED)
def test_however_it_was_exported_it_is_quantized(how: str, recipe: str, tmp_path: Path) -> None:
    path = save(EXPORTED[how], tmp_path / "source.onnx")
    source = Source(path, read_onnx(path).signature)
    x = RANDOM.normal(size=(24, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", x=x)
    rows = open_rows(RowsSpec(str(tmp_path / "rows.npz")), source.signature)
    assert RECIPE[recipe].refuses(source) is None
    made = RECIPE[recipe].make(source, rows, tmp_path, Options(), lambda what, done: None)
    assert read_onnx(made.main).signature == source.signature
    one, other = (onnxruntime.InferenceSession(file).run(None, {"x": x})[0] for file in (path, made.main))
    noise = ((one - other) ** 2).sum()
    assert 0 < noise < 0.02 * (one**2).sum()


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, 6), (6,)])
def test_what_a_gemm_adds_is_a_vector(shape: tuple[int, ...], tmp_path: Path) -> None:
    held = {"w": RANDOM.normal(size=(6, 4)).astype(np.float32), "c": RANDOM.normal(size=shape).astype(np.float32)}
    ends = [value("x", shape=("N", 4))], [value("y", shape=("N", 6))]
    gemm = model([node("Gemm", ["x", "w", "c"], ["y"], name="gemm", transB=1)], *ends, held)
    x = RANDOM.normal(size=(3, 4)).astype(np.float32)
    before = save(gemm, tmp_path / "before.onnx")
    flatten_biases(gemm)
    added = {one.name: one for one in gemm.graph.initializer}[gemm.graph.node[0].input[2]]
    assert added.dims == [6]
    after = save(gemm, tmp_path / "after.onnx")
    one, other = (onnxruntime.InferenceSession(file).run(None, {"x": x})[0] for file in (before, after))
    np.testing.assert_array_equal(one, other)


def test_a_bias_of_one_row_is_quantized(tmp_path: Path) -> None:
    """As TensorFlow's exporters write it: preparing makes it what a Gemm adds."""
    path = save(model(network([]), *ENDS, HELD | SHAPE | {"a": HELD["a"][np.newaxis]}), tmp_path / "source.onnx")
    source = Source(path, read_onnx(path).signature)
    np.savez(tmp_path / "rows.npz", x=RANDOM.normal(size=(24, 3, 8, 8)).astype(np.float32))
    rows = open_rows(RowsSpec(str(tmp_path / "rows.npz")), source.signature)
    made = RECIPE["int8"].make(source, rows, tmp_path, Options(), lambda what, done: None)
    assert "Gemm" in {one.op_type for one in onnx.load(made.main).graph.node}
