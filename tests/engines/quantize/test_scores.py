"""Which metric a model is judged by when none is named."""

from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto

from engines.onnx_signature import signature_of
from engines.quantize.recipe import Source
from engines.quantize.scores import default_metric, scores_of
from engines.signature import Signature, TensorSpec
from tests.graphs import Shape, model, node, save, value

LINEAR = [node("MatMul", ["x", "w"], ["h"])]
ENDINGS: dict[str, list[NodeProto]] = {
    "agreement: a linear layer": [node("MatMul", ["x", "w"], ["y"])],
    "agreement: a linear layer with its bias": [*LINEAR, node("Add", ["h", "b"], ["y"])],
    "agreement: a bias in front": [*LINEAR, node("Add", ["b", "h"], ["y"])],
    "agreement: odds": [*LINEAR, node("Softmax", ["h"], ["y"])],
    "agreement: passed on": [*LINEAR, node("Identity", ["h"], ["i"]), node("Flatten", ["i"], ["y"])],
    "cosine: scaled to length one": [*LINEAR, node("LpNormalization", ["h"], ["y"])],
    "cosine: a sum with what came in": [*LINEAR, node("Add", ["h", "x"], ["y"])],
    "cosine: normalised": [*LINEAR, node("LayerNormalization", ["h", "b"], ["y"])],
    "cosine: what came in": [node("Identity", ["x"], ["y"])],
}


def source(folder: Path, ending: list[NodeProto], shape: Shape = ("N", 2)) -> Source:
    held = {"w": np.eye(2, dtype=np.float32), "b": np.ones(2, np.float32)}
    made = model(ending, [value("x")], [value("y", shape=shape)], held)
    return Source(save(made, folder / "model.onnx"), signature_of(made.graph))


@pytest.mark.parametrize("name", ENDINGS)
def test_without_labels_the_graph_tells_scores_from_embeddings(tmp_path: Path, name: str) -> None:
    made = source(tmp_path, ENDINGS[name])
    assert default_metric(made, has_labels=False) == name.partition(":")[0]
    assert default_metric(made, has_labels=True) == "accuracy"


def test_more_axes_hold_no_scores(tmp_path: Path) -> None:
    assert default_metric(source(tmp_path, LINEAR, ("N", 3, 2)), has_labels=True) == "cosine"


@pytest.mark.parametrize(
    ("shape", "batch_axis", "expected"),
    [
        ((-1, 3), 0, "s"),
        ((-1, -1), 0, "s"),
        ((1, 3), None, "s"),
        ((3,), None, "s"),
        ((5, 3), None, None),
        ((-1, 1), 0, None),
        ((-1,), 0, None),
        (None, 0, None),
    ],
)
def test_scores_are_two_or_more_a_row(
    shape: tuple[int, ...] | None, batch_axis: int | None, expected: str | None
) -> None:
    classes = TensorSpec("class", "int64", (-1, 3))
    assert scores_of(Signature((), (classes, TensorSpec("s", "float32", shape)), batch_axis)) == expected
