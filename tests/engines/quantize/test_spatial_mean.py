"""A mean over all positions becomes a pooling; any other mean stays as it is."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines.quantize.spatial_mean import pool_spatial_means

SHAPE = [2, 3, 4, 5]


def model_of(axes: list[int] | None, keepdims: int = 1, *, opset: int = 18) -> onnx.ModelProto:
    by_input = opset >= 18 and axes is not None
    attributes = {} if axes is None or by_input else {"axes": axes}
    node = helper.make_node("ReduceMean", ["x", "axes"] if by_input else ["x"], ["y"], keepdims=keepdims, **attributes)
    graph = helper.make_graph(
        [node],
        "mean",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(axes, np.int64), "axes")] if by_input else [],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def answer(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": np.random.default_rng(0).standard_normal(SHAPE, np.float32)})[0])


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize("axes", [[2, 3], [-1, -2], [3, -2]])
def test_a_mean_over_all_positions_is_pooled_and_says_the_same(axes: list[int], opset: int) -> None:
    model = model_of(axes, opset=opset)
    wanted = answer(model)
    pool_spatial_means(model)
    assert [node.op_type for node in model.graph.node] == ["GlobalAveragePool"]
    assert not model.graph.initializer
    np.testing.assert_allclose(answer(model), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("axes", "keepdims"), [([2, 3], 0), ([2], 1), ([1, 2, 3], 1), (None, 1)], ids=["squeezed", "one", "channels", "all"]
)
def test_any_other_mean_stays(axes: list[int] | None, keepdims: int) -> None:
    model = model_of(axes, keepdims)
    before = model.SerializeToString()
    pool_spatial_means(model)
    assert model.SerializeToString() == before
