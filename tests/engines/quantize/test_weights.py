"""Finding constant weights, and taking Gemms apart."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import numpy_helper

from engines.quantize.weights import products, unfuse, weighted
from tests.graphs import model, node, save, value


@pytest.mark.parametrize(
    ("attributes", "added"),
    [
        ({}, (6,)),
        ({"transB": 1}, (6,)),
        ({"alpha": 0.5, "beta": 2.0}, (1, 6)),
        ({"transB": 1, "alpha": 2.0, "beta": 0.0}, ()),
        ({"transB": 1, "alpha": 3.0}, None),
    ],
)
def test_a_gemm_computes_the_same_when_it_is_unfused(
    attributes: dict[str, float], added: tuple[int, ...] | None, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    held = {"w": random.normal(size=(6, 4) if attributes.get("transB") else (4, 6)).astype(np.float32)}
    if added is not None:
        held["c"] = random.normal(size=added).astype(np.float32)
    ends = [value("x", shape=("N", 4))], [value("y", shape=("N", 6))]
    fused = model([node("Gemm", ["x", *held], ["y"], name="gemm", **attributes)], *ends, held)
    before, after = save(fused, tmp_path / "before.onnx"), tmp_path / "after.onnx"
    unfuse(fused, products(fused))
    assert {node.op_type for node in fused.graph.node} <= {"MatMul", "Add"}
    assert fused.graph.node[0].name == "gemm"
    x = random.normal(size=(3, 4)).astype(np.float32)
    one, other = (onnxruntime.InferenceSession(path).run(None, {"x": x})[0] for path in (before, save(fused, after)))
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_what_no_product_and_sum_stands_for_is_left_fused() -> None:
    ends = [value("x", shape=(4, 3))], [value("y", shape=(3, 6))]
    weights = {"w": np.ones((4, 6), np.float32)}
    assert products(model([node("Gemm", ["x", "w"], ["y"], transA=1)], *ends, weights)) == []
    computed = [node("Relu", ["x"], ["c"]), node("Gemm", ["x", "w", "c"], ["y"], beta=2.0)]
    assert products(model(computed, *ends, weights)) == []


def test_weights_are_found_wherever_exporters_put_them() -> None:
    """In a Constant node, and behind a Transpose that preparing folds away."""
    weights = np.ones((4, 4), np.float32)
    nodes = [
        node("Constant", [], ["c"], value=numpy_helper.from_array(weights)),
        node("Transpose", ["w"], ["t"], perm=[1, 0]),
        node("MatMul", ["x", "c"], ["h"]),
        node("MatMul", ["h", "t"], ["g"]),
        node("MatMul", ["g", "x"], ["y"]),
    ]
    made = model(nodes, [value("x", shape=(4, 4))], [value("y", shape=(4, 4))], {"w": weights})
    assert [one.output[0] for one in weighted(made, {"MatMul"})] == ["h", "g"] == [p.output[0] for p in products(made)]
