"""ovmsclient speaks TensorFlow Serving's REST API: columns, a version in every path, no Content-Type."""

from typing import Any

import numpy as np
import pytest

from tests.clients.client import Client, Refused, arrays
from tests.clients.conftest import Connect
from tests.clients.scripts.lines import pack, unpack
from tests.clients.served import expected
from tests.service.process import Octet

X = np.array([[1, 2], [3, 0.5]], np.float32)


@pytest.fixture(scope="module")
def ovms(server: Octet, connect: Connect) -> Client:
    return connect("ovmsclient", "ovms_http.py", f"127.0.0.1:{server.port}")


def test_status_of_the_default_version(ovms: Client) -> None:
    (status,) = ovms.ask("get_model_status", "double").values()
    assert status == {"state": "AVAILABLE", "error_code": 0, "error_message": ""}


def test_status_of_a_major_version(ovms: Client) -> None:
    assert ovms.ask("get_model_status", "adding", model_version=2).keys() == {"2"}


def test_metadata_is_tensorflow_servings(ovms: Client) -> None:
    """It understands OpenVINO's spelling (`modelSpec`) and hands TensorFlow Serving's on as it came."""
    metadata = ovms.ask("get_model_metadata", "pair")
    assert metadata["model_spec"]["version"] == "1"
    inputs = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]
    assert {name: tensor["dtype"] for name, tensor in inputs.items()} == {"a": "DT_FLOAT", "b": "DT_INT64"}
    assert [dim["size"] for dim in inputs["a"]["tensor_shape"]["dim"]] == ["-1", "3"]


def test_predict_of_an_array(ovms: Client) -> None:
    (wanted,) = expected("double", x=X).values()
    np.testing.assert_array_equal(unpack(ovms.ask("predict", {"x": pack(X)}, "double")), wanted)


@pytest.mark.parametrize("values", [[[1.5, 2]], [[1, 2]]], ids=["floats", "whole numbers"])
def test_predict_of_a_list(ovms: Client, values: Any) -> None:
    (wanted,) = expected("double", x=np.array(values, np.float32)).values()
    np.testing.assert_array_equal(unpack(ovms.ask("predict", {"x": values}, "double")), wanted)


def test_predict_with_several_inputs_and_outputs(ovms: Client) -> None:
    a, b = np.array([[1, 2, 3]], np.float32), np.array([[3, 2, 1]])
    outputs = arrays(ovms.ask("predict", {"a": pack(a), "b": pack(b)}, "pair"))
    wanted = expected("pair", a=a, b=b)
    assert outputs.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(outputs[name], array)


@pytest.mark.parametrize(("model", "shape"), [("words", (3,)), ("same_string", (1, 2))], ids=["b64", "text"])
def test_predict_of_text(ovms: Client, model: str, shape: tuple[int, ...]) -> None:
    """A list of bytes goes out as `b64`, of other ranks as text."""
    words = np.resize(np.array(["", "Straße", "a b"], object), shape)
    np.testing.assert_array_equal(unpack(ovms.ask("predict", {"x": pack(words)}, model)), words)


@pytest.mark.parametrize(
    ("version", "bias"), [(0, 3), (1, 2), (2, 3)], ids=["the default", "highest of 1.x", "highest of 2.x"]
)
def test_predict_of_a_version(ovms: Client, version: int, bias: float) -> None:
    answer = ovms.ask("predict", {"x": pack(X)}, "adding", model_version=version)
    np.testing.assert_array_equal(unpack(answer), X + bias)


def test_predict_without_a_batch_axis(ovms: Client) -> None:
    x = np.array([1, -2, 3], np.float32)
    np.testing.assert_array_equal(unpack(ovms.ask("predict", {"x": pack(x)}, "turned")), -x)


@pytest.mark.parametrize("call", ["get_model_status", "get_model_metadata"])
def test_an_unknown_model_is_not_found(ovms: Client, call: str) -> None:
    with pytest.raises(Refused, match="dooble") as refused:
        ovms.ask(call, "dooble")
    assert refused.value.kind == "ModelNotFoundError"


def test_an_unknown_version_is_not_found(ovms: Client) -> None:
    with pytest.raises(Refused, match="version '7'") as refused:
        ovms.ask("predict", {"x": pack(X)}, "double", model_version=7)
    assert refused.value.kind == "ModelNotFoundError"


def test_a_wrong_shape_is_an_invalid_input(ovms: Client) -> None:
    with pytest.raises(Refused, match=r"input 'x' has shape \[2, 1\], expected \[\?, 2\]") as refused:
        ovms.ask("predict", {"x": pack(X[:, :1])}, "double")
    assert refused.value.kind == "InvalidInputError"
