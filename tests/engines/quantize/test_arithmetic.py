"""The arithmetic against its formulas, and against what ONNX Runtime makes of QuantizeLinear and DequantizeLinear."""

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from engines.quantize.arithmetic import (
    INT8,
    UINT8,
    Grid,
    asymmetric,
    dequantize,
    predicted_sqnr_db,
    quantize,
    symmetric,
)

FLOATS = st.floats(-1e3, 1e3, width=32)
KINDS = {INT8: (TensorProto.INT8, np.int8), UINT8: (TensorProto.UINT8, np.uint8)}


def session(grid: Grid) -> onnxruntime.InferenceSession:
    """x, scale, zero -> quantized, dequantized; one scale for each channel of axis 1."""
    kind, _ = KINDS[grid]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "scale", "y")]
    whole = [helper.make_tensor_value_info(name, kind, None) for name in ("zero", "q")]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], axis=1),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], axis=1),
    ]
    graph = helper.make_graph(nodes, "both", [*values[:2], whole[0]], [whole[1], values[2]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


SESSIONS = {grid: session(grid) for grid in KINDS}


def onnx_both(x: np.ndarray, scale: np.ndarray, zero: np.ndarray, grid: Grid) -> list[np.ndarray]:
    inputs = {"x": x, "scale": scale, "zero": zero.astype(KINDS[grid][1])}
    return [np.asarray(found) for found in SESSIONS[grid].run(None, inputs)]


@pytest.mark.parametrize(
    ("x", "zero", "grid", "q"),
    [
        ([0.5, 1.5, 2.5, -0.5, -1.5, -2.5], 0, INT8, [0, 2, 2, 0, -2, -2]),  # to even
        ([0.5, 1.5], 1, UINT8, [1, 3]),  # the zero point comes after rounding
        ([300, -300, np.inf, -np.inf], 0, INT8, [127, -128, 127, -128]),
        ([300, -300], 10, UINT8, [255, 0]),
    ],
)
def test_known_values(x: list[float], zero: int, grid: Grid, q: list[int]) -> None:
    values = np.array([x], np.float32)
    assert quantize(values, np.float32(1), zero, grid)[0].tolist() == q
    ones = np.ones(len(x), np.float32)
    assert onnx_both(values, ones, np.full(len(x), zero), grid)[0][0].tolist() == q


@given(
    values=st.lists(st.tuples(FLOATS, FLOATS, FLOATS), min_size=1, max_size=20),
    scales=st.tuples(*[st.floats(2**-10, 2**10, width=32)] * 3),
    zeros=st.tuples(*[st.integers(0, 127)] * 3),
    grid=st.sampled_from([INT8, UINT8]),
)
def test_it_is_that_of_onnx_channel_by_channel(
    values: list[tuple[float, ...]], scales: tuple[float, ...], zeros: tuple[int, ...], grid: Grid
) -> None:
    x, scale, zero = np.array(values, np.float32), np.array(scales, np.float32), np.array(zeros, np.float32)
    expected, back = onnx_both(x, scale, zero, grid)
    found = quantize(x, scale, zero, grid)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(dequantize(found, scale, zero), back)


@pytest.mark.parametrize(
    ("low", "high", "scale", "zero"),
    [(-1, 3, 0.0156863, 64), (1, 3, 0.0117647, 0), (-2, -1, 2 / 255, 255), (0, 0, 1, 0)],
)
def test_asymmetric_ranges_are_widened_to_hold_zero(low: float, high: float, scale: float, zero: int) -> None:
    found = asymmetric(np.float32(low), np.float32(high), UINT8)
    assert float(found[0]) == pytest.approx(scale, rel=1e-5)
    assert float(found[1]) == zero


@given(low=FLOATS, high=FLOATS, share=st.floats(0, 1))
def test_what_lies_in_the_range_comes_back_within_half_a_step(low: float, high: float, share: float) -> None:
    low, high = min(low, high, 0.0), max(low, high, 0.0)
    scale, zero = asymmetric(np.float64(low), np.float64(high), UINT8)
    value = np.float64(low + share * (high - low))
    back = dequantize(quantize(value, scale, zero, UINT8), scale, zero)
    assert abs(back - value) <= scale * (0.5 + 0.5 + 1e-9), "half a step for rounding, half a step for the zero point"
    assert dequantize(quantize(np.float64(0), scale, zero, UINT8), scale, zero) == 0


def test_symmetric_scales_use_127_steps_either_way() -> None:
    scales = symmetric(np.array([127.0, 1.0, 0.0]))
    np.testing.assert_allclose(scales, [1, 1 / 127, 1])
    np.testing.assert_array_equal(quantize(np.array([-127.0, 1.0, 0.0]), scales, 0, INT8), [-127, 127, 0])


@pytest.mark.parametrize("bits", [4, 8])
def test_rounding_makes_the_error_that_the_uniform_model_predicts(bits: int) -> None:
    values = np.random.default_rng(0).uniform(-1, 1, 100_000)
    grid = Grid(0, 2**bits - 1)
    scale, zero = asymmetric(np.float64(-1), np.float64(1), grid)
    noise = ((dequantize(quantize(values, scale, zero, grid), scale, zero) - values) ** 2).sum()
    measured = 10 * np.log10((values**2).sum() / noise)
    assert measured == pytest.approx(predicted_sqnr_db((values**2).sum(), values.size, float(scale)), abs=0.3)
    assert measured == pytest.approx(6.02 * bits, abs=0.6), "6 dB a bit"
