"""Biases of Gemm in integers: ONNX Runtime computes the product in INT8, and answers as before."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto

from engines.quantize.gemm_bias import quantize_gemm_biases
from tests import graphs

IN, OUT = 8, 5
STEP = np.float32(1 / 128)


def two_products() -> ModelProto:
    """[N,8] -> two answers [N,5]: each of its own quantized weights, both with the same float bias."""
    random = np.random.default_rng(0)
    constants = {
        "bias": random.normal(size=OUT).astype(np.float32),
        "step": STEP,
        "zero": np.uint8(128),
        "steps": random.uniform(0.001, 0.01, OUT).astype(np.float32),
        "zeros": np.zeros(OUT, np.int8),
        **{f"w{i}": random.integers(-127, 128, (OUT, IN)).astype(np.int8) for i in range(2)},
    }
    nodes = [
        graphs.node("QuantizeLinear", ["x", "step", "zero"], ["q"]),
        graphs.node("DequantizeLinear", ["q", "step", "zero"], ["dq"]),
    ]
    for i in range(2):
        nodes.append(graphs.node("DequantizeLinear", [f"w{i}", "steps", "zeros"], [f"dw{i}"], axis=0))
        nodes.append(graphs.node("Gemm", ["dq", f"dw{i}", "bias"], [f"y{i}"], transB=1))
    outputs = [graphs.value(f"y{i}", shape=("N", OUT)) for i in range(2)]
    held = {name: np.asarray(array) for name, array in constants.items()}
    return graphs.model(nodes, [graphs.value("x", shape=("N", IN))], outputs, held)


def run(model: ModelProto, optimized: Path) -> tuple[list[np.ndarray], list[str]]:
    """What ONNX Runtime answers, and by which operators."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(optimized)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).uniform(-1, 1, (20, IN)).astype(np.float32)
    return session.run(None, {"x": x}), sorted(node.op_type for node in onnx.load(optimized).graph.node)


def test_products_that_share_a_float_bias_are_computed_in_integers_and_answer_as_before(tmp_path: Path) -> None:
    model = two_products()
    before, floats = run(model, tmp_path / "before.onnx")
    assert "Gemm" in floats
    quantize_gemm_biases(model)
    onnx.checker.check_model(model, full_check=True)
    after, integers = run(model, tmp_path / "after.onnx")
    assert integers == ["QGemm", "QGemm", "QuantizeLinear"]
    most = STEP * 0.01 / 2  # half a step of the bias
    for one, other in zip(before, after, strict=True):
        assert np.abs(one - other).max() <= most + 1e-6


def test_a_float_product_is_left_as_it_is(tmp_path: Path) -> None:
    model = two_products()
    for node in model.graph.node:
        if node.op_type == "Gemm":
            node.input[0] = "x"
    content = [node.SerializeToString() for node in model.graph.node]
    quantize_gemm_biases(model)
    assert [node.SerializeToString() for node in model.graph.node] == content
