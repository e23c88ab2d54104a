"""What tests of every folder use."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture
def mlp_onnx(tmp_path: Path) -> Path:
    """A tiny network: `x` [N,64] float32 -> `y` [N,10] float32, one hidden layer of 32, weights of a fixed seed."""
    random = np.random.default_rng(0)
    weights = {
        name: random.normal(0, 0.2, shape).astype(np.float32)
        for name, shape in {"w1": (64, 32), "b1": (32,), "w2": (32, 10), "b2": (10,)}.items()
    }
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("Gemm", ["r", "w2", "b2"], ["y"]),
        ],
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    path = tmp_path / "mlp.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
