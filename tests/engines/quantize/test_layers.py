"""Error by layer: on the digits network, and on graphs small enough to know the answer."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto

from engines.onnx_signature import signature_of
from engines.quantize.arithmetic import predicted_sqnr_db
from engines.quantize.half import HALF
from engines.quantize.layers import measure_layers
from engines.quantize.open_rows import open_rows
from engines.quantize.recipe import Options, Source
from engines.quantize.report import MOST_DB, Layer
from engines.quantize.rows import RowsSpec
from tests.engines.quantize.conftest import DIGITS
from tests.graphs import model, node, save, value

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(8, 400)).astype(np.float32)
W = RANDOM.normal(0, 0.05, size=(400, 400)).astype(np.float32)
ENDS = [value("x", shape=("N", 400))], [value("y", shape=("N", 400))]


def first_and_rest(hidden: str) -> list[NodeProto]:
    """A layer with its Relu, `r`, and one that takes `hidden`."""
    return [
        node("MatMul", ["x", "w"], ["h"], name="first"),
        node("Relu", ["h"], ["r"], name="relu"),
        node("MatMul", [hidden, "w"], ["y"], name="second"),
    ]


def rounding(tensor: str) -> list[NodeProto]:
    return [
        node("QuantizeLinear", [tensor, "s", "z"], [f"{tensor}_q"]),
        node("DequantizeLinear", [f"{tensor}_q", "s", "z"], [f"{tensor}_dq"]),
    ]


def layers_of(folder: Path, source: ModelProto, variant: ModelProto, x: Array = X) -> dict[str, Layer]:
    np.savez(folder / "rows.npz", x=x)
    made = Source(save(source, folder / "source.onnx"), signature_of(source.graph))
    rows = open_rows(RowsSpec(str(folder / "rows.npz")), made.signature)
    return {layer.tensor: layer for layer in measure_layers(made, save(variant, folder / "variant.onnx"), rows)}


def rounded_behind_relu(scale: float) -> ModelProto:
    first, relu, second = first_and_rest("r_dq")
    held = {"w": W, "s": np.array(scale, np.float32), "z": np.array(0, np.uint8)}
    return model([first, relu, *rounding("r"), second], *ENDS, held)


SOURCE = model(first_and_rest("r"), *ENDS, {"w": W})


def test_rounding_alone_does_what_the_uniform_model_predicts(tmp_path: Path) -> None:
    layer = layers_of(tmp_path, SOURCE, rounded_behind_relu(float((X @ W).max()) / 255))["r"]
    assert (layer.node, layer.operator) == ("first", "MatMul")
    assert layer.predicted_sqnr_db == pytest.approx(layer.sqnr_db, abs=0.2)
    assert 35 < layer.sqnr_db < 50


def test_zeros_are_exact_and_have_no_error_in_the_prediction() -> None:
    values = np.maximum(RANDOM.normal(size=10_000), 0)
    scale = 0.01
    signal = float((values**2).sum())
    noise = float(((np.rint(values / scale) * scale - values) ** 2).sum())
    predicted = predicted_sqnr_db(signal, np.count_nonzero(values), scale)
    assert predicted == pytest.approx(10 * np.log10(signal / noise), abs=0.2)
    assert predicted_sqnr_db(signal, len(values), scale) < predicted - 2


def test_values_beyond_the_calibrated_range_are_told(tmp_path: Path) -> None:
    layer = layers_of(tmp_path, SOURCE, rounded_behind_relu(float((X @ W).max()) / 255 / 3))["r"]
    assert layer.predicted_sqnr_db is not None
    assert layer.sqnr_db < layer.predicted_sqnr_db - 10
    assert "cut off" in layer.advice


def test_an_outlier_that_takes_the_range_is_told(tmp_path: Path) -> None:
    x = X.copy()
    x[0] *= 500
    layer = layers_of(tmp_path, SOURCE, rounded_behind_relu(float((x @ W).max()) / 20), x)["r"]
    assert layer.predicted_sqnr_db is not None
    assert layer.predicted_sqnr_db < 30
    assert "entropy or percentile" in layer.advice
    assert "exclude first" in layer.advice


def test_the_layer_where_an_error_arises_is_told_from_those_that_inherit_it(tmp_path: Path) -> None:
    """The second layer's output is rounded finely, its input coarsely."""
    source = model([*first_and_rest("r"), node("Relu", ["y"], ["out"], name="last")], *ENDS, {"w": W})
    source.graph.output[0].name = "out"
    first, relu, second = first_and_rest("r_dq")
    nodes = [first, relu, *rounding("r"), second, *rounding("y"), node("Relu", ["y_dq"], ["out"], name="last")]
    fine, coarse = np.array(0.0005, np.float32), np.array(0.5, np.float32)
    for item in nodes[2:4]:
        item.input[1:] = ["coarse", "z8"]
    held = {"w": W, "s": fine, "z": np.array(0, np.int16), "coarse": coarse, "z8": np.array(0, np.uint8)}
    variant = model(nodes, *ENDS, held)
    variant.graph.output[0].name = "out"
    layers = layers_of(tmp_path, source, variant)
    assert list(layers) == sorted(layers, key=lambda name: layers[name].sqnr_db)
    assert "exclude first" in layers["r"].advice
    assert "layers before" in layers["y"].advice
    assert layers["y"].node == "second"


@pytest.mark.parametrize(("axes", "words"), [((), "a scale for each channel"), ((400,), "its own error")])
def test_weights_of_one_scale_are_told(tmp_path: Path, axes: tuple[int, ...], words: str) -> None:
    weights = [node("DequantizeLinear", ["wq", "ws", "wz"], ["w"], axis=1)]
    held = {
        "wq": np.clip(np.rint(W / 0.1), -7, 7).astype(np.int8),
        "ws": np.full(axes, 0.1, np.float32),
        "wz": np.zeros(axes, np.int8),
    }
    nodes = [*weights, node("MatMul", ["x", "w"], ["y"], name="only")]
    source = model([node("MatMul", ["x", "weight"], ["y"], name="only")], *ENDS, {"weight": W})
    layer = layers_of(tmp_path, source, model(nodes, *ENDS, held))["y"]
    assert layer.predicted_sqnr_db is None
    assert layer.sqnr_db < 30
    assert words in layer.advice


@pytest.mark.parametrize("smoothed", [True, False])
def test_a_norm_that_was_smoothed_on_purpose_is_no_error(tmp_path: Path, smoothed: bool) -> None:
    gamma, beta = np.ones(400, np.float32), np.zeros(400, np.float32)

    def graph(factor: float, hidden: str) -> ModelProto:
        norm = node("LayerNormalization", ["x", "g", "b"], ["n"], name="norm")
        nodes = [norm, *(rounding("n") if hidden == "n_dq" else []), node("MatMul", [hidden, "w"], ["y"], name="only")]
        scales = {"s": np.array(factor / 30, np.float32), "z": np.array(128, np.uint8)}
        held = {"g": gamma * np.float32(factor), "b": beta, "w": W / np.float32(factor)}
        return model(nodes, *ENDS, held | (scales if hidden == "n_dq" else {}))

    layers = layers_of(tmp_path, graph(1.0, "n"), graph(0.25 if smoothed else 1.0, "n_dq"))
    assert set(layers) == ({"y"} if smoothed else {"n", "y"})
    assert layers["y"].sqnr_db > 25


def test_many_layers_are_compared_in_groups(tmp_path: Path) -> None:
    """Forty layers that change nothing, and round to the same grid."""
    plain, rounded = [], []
    for one, other in pairwise(["x", *(f"t{position}" for position in range(40)), "y"]):
        plain.append(node("MatMul", [one, "w"], [other], name=f"to {other}"))
        rounded.append(node("MatMul", [one if one == "x" else f"{one}_dq", "w"], [other]))
        rounded += [] if other == "y" else rounding(other)
    held = {"w": np.eye(400, dtype=np.float32)}
    scales = {"s": np.array(0.05, np.float32), "z": np.array(128, np.uint8)}
    layers = layers_of(tmp_path, model(plain, *ENDS, held), model(rounded, *ENDS, held | scales))
    assert len(layers) == 41
    assert len({round(layer.sqnr_db, 3) for layer in layers.values()}) == 1


def test_weights_beside_the_file_are_found(tmp_path: Path) -> None:
    made = model(first_and_rest("r"), *ENDS, {"w": W})
    onnx.save(made, tmp_path / "source.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    np.savez(tmp_path / "rows.npz", x=X)
    variant = save(rounded_behind_relu(0.01), tmp_path / "variant.onnx")
    source = Source(tmp_path / "source.onnx", signature_of(SOURCE.graph))
    rows = open_rows(RowsSpec(str(tmp_path / "rows.npz")), source.signature)
    assert [layer.tensor for layer in measure_layers(source, variant, rows)] == ["y", "r"]


def test_the_layers_of_digits_are_told_by_the_names_that_can_be_excluded(
    digits: Source, static_digits: Path, dynamic_digits: Path
) -> None:
    rows = open_rows(RowsSpec(str(DIGITS / "test.npz")), digits.signature)
    names = {item.name for item in onnx.load(digits.path).graph.node if item.op_type in ("Conv", "Gemm")}
    for variant in (static_digits, dynamic_digits):
        layers = measure_layers(digits, variant, rows)
        assert {layer.node for layer in layers} == names
        assert [layer.sqnr_db for layer in layers] == sorted(layer.sqnr_db for layer in layers)
        assert all(25 < layer.sqnr_db < 60 for layer in layers)
    assert measure_layers(digits, digits.path, rows) == ()


def test_weights_that_keep_their_name_and_lose_their_bits_are_told(digits: Source, tmp_path: Path) -> None:
    rows = open_rows(RowsSpec(str(DIGITS / "test.npz")), digits.signature)
    made = HALF[0].make(digits, None, tmp_path, Options(), lambda what, done: None)
    names = {item.name for item in onnx.load(digits.path).graph.node if item.op_type in ("Conv", "Gemm")}
    layers = measure_layers(digits, made.main, rows)
    assert {layer.node for layer in layers} == names
    assert all(55 < layer.sqnr_db < 80 for layer in layers)


def test_files_of_other_kinds_have_no_layers(digits: Source) -> None:
    rows = open_rows(RowsSpec(str(DIGITS / "test.npz")), digits.signature)
    assert measure_layers(digits, Path("model.tflite"), rows) == ()


def test_a_tensor_that_stays_equal_is_no_error(tmp_path: Path) -> None:
    held = {"w": W, "s": np.array(1.0, np.float32), "z": np.array(0, np.uint8)}
    first, relu, second = first_and_rest("r_dq")
    layers = layers_of(tmp_path, SOURCE, model([first, relu, *rounding("r"), second], *ENDS, held), np.zeros_like(X))
    assert layers["r"].sqnr_db == layers["r"].predicted_sqnr_db == MOST_DB
