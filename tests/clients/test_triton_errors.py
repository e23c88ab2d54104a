"""What a caller of tritonclient reads when a request is refused."""

from typing import Any

import numpy as np
import pytest

from tests.clients.client import Client, Refused
from tests.clients.triton import infer

X = np.array([[1, 2], [3, 0.5]], np.float32)
A = np.array([[1, 2, 3]], np.float32)
INPUT = {"x": X}
FOUR = {"dtype": "float32", "shape": [2, 2], "values": [1, 2, 3, 4]}


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize(("model", "inputs", "options", "text", "status"), [
    ("dooble", INPUT, {}, "no model 'dooble'", 404),
    ("double", INPUT, {"model_version": "7"}, "version '7'", 404),
    ("double", {"z": X}, {}, "'z'", 400),
    ("double", {"x": X, "z": X}, {}, "'z'", 400),
    ("pair", {"a": A}, {}, "'b'", 400),
    ("double", {"x": X[:, :1]}, {}, r"\[2, 1\].*\[\?, 2\]", 400),
    ("double", {"x": X[0]}, {}, r"\[2\].*\[\?, 2\]", 400),
    ("double", {"x": X.astype(np.float64)}, {}, "FP32.*FP64", 400),
    ("double", {"x": X.astype(np.int32)}, {}, "FP32.*INT32", 400),
    ("double", INPUT, {"outputs": [{"name": "z"}]}, "'z'", 400),
    ("words", {"x": np.array(["a"], object)}, {"outputs": [{"name": "y", "class_count": 1}]}, "classif", 400),
], ids=[
    "unknown model", "unknown version", "unknown input", "input too many", "missing input", "wrong dimension",
    "wrong rank", "wrong float", "wrong integer", "unknown output", "classes of text",
])  # fmt: skip
def test_the_message_and_the_status_are_readable(
    triton: Client, model: str, inputs: dict[str, Any], options: dict[str, Any], text: str, status: int, *, binary: bool
) -> None:
    with pytest.raises(Refused, match=text) as refused:
        infer(triton, model, inputs, binary=binary, **options)
    assert refused.value.kind == "InferenceServerException"
    assert refused.value.status == str(status)


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("shape", [[1, 2], [3, 2], [-1, 2]])
def test_data_that_does_not_fit_its_shape(triton: Client, shape: list[int], *, binary: bool) -> None:
    """The client takes any shape once the data are set."""
    given = {"name": "x", "tensor": FOUR, "binary": binary, "shape": shape}
    with pytest.raises(Refused, match="'x'") as refused:
        triton.ask("infer", model_name="double", inputs=[given])
    assert refused.value.status == "400"


def test_the_same_input_twice(triton: Client) -> None:
    given = {"name": "x", "tensor": FOUR, "binary": True}
    with pytest.raises(Refused, match="'x'") as refused:
        triton.ask("infer", model_name="double", inputs=[given, given])
    assert refused.value.status == "400"


def test_a_request_without_time(triton: Client) -> None:
    with pytest.raises(Refused) as refused:
        infer(triton, "double", INPUT, timeout=1)
    assert refused.value.status == "504"


@pytest.mark.parametrize("call", ["get_model_metadata", "get_model_config", "get_inference_statistics"])
def test_questions_about_an_unknown_model(triton: Client, call: str) -> None:
    with pytest.raises(Refused, match="no model 'dooble'") as refused:
        triton.ask(call, "dooble")
    assert refused.value.status == "404"
