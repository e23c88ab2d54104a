"""Where the error of the answers comes from: on graphs small enough to compute it, and by leaving layers out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines import onnxruntime_engine
from engines.onnx_signature import signature_of
from engines.quantize.layers import measure_layers, worst_layer
from engines.quantize.onnxruntime_static import STATIC
from engines.quantize.open_rows import open_rows
from engines.quantize.quality import compare
from engines.quantize.recipe import Made, Options, Source
from engines.quantize.reference import Reference
from engines.quantize.report import Layer
from engines.quantize.rows import RowsSpec
from engines.quantize.sides import opened
from tests.engines.quantize.conftest import DIGITS
from tests.graphs import model, node, save, value

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(4, 64)).astype(np.float32)
W = RANDOM.normal(0, 0.1, size=(64, 64)).astype(np.float32)
ENDS = [value("x", shape=("N", 64))], [value("y", shape=("N", 64))]


def layers_of(folder: Path, source: Any, variant: Any) -> dict[str, Layer]:
    np.savez(folder / "rows.npz", x=X)
    made = Source(save(source, folder / "source.onnx"), signature_of(source.graph))
    rows = open_rows(RowsSpec(str(folder / "rows.npz")), made.signature)
    return {layer.node: layer for layer in measure_layers(made, save(variant, folder / "variant.onnx"), rows)}


def test_each_layer_has_the_share_that_its_own_rounding_makes(tmp_path: Path) -> None:
    """Weights rounded, the first ones coarsely: the last layer inherits an error that it does not make."""
    steps = {"first": 0.1, "second": 0.02}
    rounded = {name: np.rint(W / step).astype(np.int8) for name, step in steps.items()}
    held = {f"{name}_q": weights for name, weights in rounded.items()}
    held |= {f"{name}_s": np.array(step, np.float32) for name, step in steps.items()}

    def layers(*weights: str) -> list[Any]:
        return [
            node("MatMul", ["x", weights[0]], ["h"], name="first"),
            node("Relu", ["h"], ["r"], name="relu"),
            node("MatMul", ["r", weights[1]], ["y"], name="second"),
        ]

    weights = [node("DequantizeLinear", [f"{name}_q", f"{name}_s"], [f"{name}_w"]) for name in steps]
    variant = model([*weights, *layers("first_w", "second_w")], *ENDS, held)
    found = layers_of(tmp_path, model(layers("w", "w"), *ENDS, {"w": W}), variant)

    hidden, (one, other) = np.maximum(X @ W, 0), (rounded[name] * np.float32(steps[name]) for name in steps)
    own = [np.maximum(X @ one, 0) @ W - hidden @ W, hidden @ other - hidden @ W]
    powers = [float((error**2).sum()) for error in own]
    assert found["first"].share == pytest.approx(powers[0] / sum(powers), abs=0.005)
    assert found["second"].share == pytest.approx(powers[1] / sum(powers), abs=0.005)
    assert found["first"].share > 0.9
    assert found["second"].sqnr_db < 20
    assert worst_layer(tuple(found.values()), ()) == "first"
    assert worst_layer(tuple(found.values()), ("first",)) == "second"
    assert worst_layer(tuple(found.values()), ("first", "second")) is None


def test_what_is_rounded_for_a_product_is_its_affair_and_passes_by_what_takes_it_in_float(tmp_path: Path) -> None:
    """A normalization that feeds a product, rounded, and the sum behind it, as it is."""
    ones = np.ones(64, np.float32)
    held = {"g": ones, "b": 0 * ones, "w": W}

    def layers(taken: str) -> list[Any]:
        norm = node("LayerNormalization", ["x", "g", "b"], ["n"], name="norm")
        product = node("MatMul", [taken, "w"], ["h"], name="product")
        return [norm, *between[taken], product, node("Add", ["h", "n"], ["y"], name="sum")]

    rounding = node("QuantizeLinear", ["n", "s", "z"], ["n_q"]), node("DequantizeLinear", ["n_q", "s", "z"], ["n_dq"])
    between = {"n": (), "n_dq": rounding}
    scales = {"s": np.array(0.1, np.float32), "z": np.array(128, np.uint8)}
    found = layers_of(tmp_path, model(layers("n"), *ENDS, held), model(layers("n_dq"), *ENDS, held | scales))
    assert found["norm"].share == 0
    assert found["product"].share == pytest.approx(1)


def test_digits_gain_most_from_the_layer_with_the_largest_share(digits: Source, tmp_path: Path) -> None:
    calibration, rows = (
        open_rows(RowsSpec(str(DIGITS / f"{name}.npz")), digits.signature) for name in ("calibration", "test")
    )
    reference = Reference(digits, onnxruntime_engine.load, rows, 1)

    def made(name: str, *exclude: str) -> Made:
        folder = tmp_path / name
        folder.mkdir()
        return STATIC[0].make(digits, calibration, folder, Options(exclude), lambda what, done: None)

    def decibels(variant: Made) -> float:
        with opened(variant.main, digits.signature, onnxruntime_engine.load, rows, 1) as side:
            return compare(reference, side.answering, rows, "accuracy", 0).sqnr_db

    whole = made("whole")
    layers = measure_layers(digits, whole.main, rows)
    worst = worst_layer(layers, ())
    assert worst is not None
    assert worst != layers[0].node, "the layer that looks worst inherits"
    before, after = decibels(whole), decibels(made("without", worst))
    reference.close()
    assert after > before + 2
