"""What OpenInference.encode writes, read back as a client reads it: the standard library and struct."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocols.codec import Encoded
from app.protocols.open_inference import Form, OpenInference
from app.protocols.open_inference_parameters import AskedOutput
from app.protocols.shared_memory import Regions
from engines.signature import NUMPY_DTYPES, Signature, TensorSpec
from tests.app.protocols.open_inference_reference import DATATYPES, from_bytes
from tests.app.protocols.outputs import IDENTITY, Array, comparable, dtype_name, from_json, tensors

AS_JSON = b"content-type: application/json\r\n"


def answer(outputs: dict[str, Array], *asked: AskedOutput, request_id: str | None = None) -> Encoded:
    specs = tuple(TensorSpec(name, dtype_name(array), None) for name, array in outputs.items())
    codec = OpenInference(Signature((), specs, 0), Regions(enabled=False))
    return codec.encode(outputs, Form(request_id, asked), IDENTITY)


def split(encoded: Encoded) -> tuple[Any, bytes]:
    """The JSON and the raw tensors, as the header lines tell them apart."""
    lines = dict(line.split(": ") for line in encoded[0].decode().strip().split("\r\n"))
    if lines == {"content-type": "application/json"}:
        return json.loads(encoded[1]), b""
    length = int(lines.pop("inference-header-content-length"))
    assert lines == {"content-type": "application/octet-stream"}
    assert length < len(encoded[1])
    return json.loads(encoded[1][:length]), encoded[1][length:]


def read_back(encoded: Encoded, dtypes: dict[str, str]) -> dict[str, Array]:
    """The outputs by name, in their order."""
    document, tail = split(encoded)
    found = {}
    for entry in document["outputs"]:
        dtype, shape = dtypes[entry["name"]], tuple(entry["shape"])
        assert entry["datatype"] == DATATYPES[dtype]
        if "data" in entry:
            assert set(entry) == {"name", "shape", "datatype", "data"}, "parameters are for raw bytes"
            assert not any(isinstance(value, list) for value in entry["data"])
            found[entry["name"]] = from_json(entry["data"], dtype, shape)
        else:
            assert set(entry) == {"name", "shape", "datatype", "parameters"}
            assert set(entry["parameters"]) == {"binary_data_size"}
            spec = TensorSpec(entry["name"], dtype, None)
            found[spec.name], tail = from_bytes(spec, shape, tail, entry["parameters"]["binary_data_size"])
    assert not tail
    return found


def laid_out(array: Array) -> st.SearchStrategy[Array]:
    """The array, or a view with its elements in another order."""
    return st.sampled_from([array, array.T, array[::-1] if array.ndim else array, np.asfortranarray(array)])


@given(st.lists(tensors().flatmap(laid_out), min_size=1, max_size=3), st.data())
def test_every_output_is_read_back_in_the_order_asked(arrays: list[Array], data: st.DataObject) -> None:
    outputs = dict(zip(["y", "null", "z"], arrays, strict=False))
    names = data.draw(st.lists(st.sampled_from(list(outputs)), min_size=1, unique=True))
    asked = [AskedOutput(name, data.draw(st.booleans())) for name in names]
    found = read_back(answer(outputs, *asked), {name: dtype_name(array) for name, array in outputs.items()})
    assert list(found) == names
    for name, array in found.items():
        assert array.shape == outputs[name].shape
        assert comparable(array) == comparable(outputs[name])


def test_an_answer_says_who_gave_it_and_what_it_answers() -> None:
    y = np.array([[0.2, 1, 3e38]], "float32")
    body = (
        b'{"model_name":"m","model_version":"1.2.3",'
        b'"outputs":[{"name":"y","shape":[1,3],"datatype":"FP32","data":[0.2,1.0,3e+38]}]}'
    )
    assert answer({"y": y}, AskedOutput("y")) == (AS_JSON, body)
    assert split(answer({"y": y}, AskedOutput("y"), request_id="grüße [null]"))[0]["id"] == "grüße [null]"


def test_raw_tensors_follow_the_json_in_its_order() -> None:
    outputs = {"y": np.array([1.5, -2], "float32"), "t": np.array(["é", ""], object), "n": np.array([7], "int64")}
    encoded = answer(outputs, AskedOutput("t", binary=True), AskedOutput("n"), AskedOutput("y", binary=True))
    head = (
        b'{"model_name":"m","model_version":"1.2.3","outputs":['
        b'{"name":"t","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":10}},'
        b'{"name":"n","shape":[1],"datatype":"INT64","data":[7]},'
        b'{"name":"y","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}'
    )
    assert encoded[1] == head + b"\2\0\0\0" + "é".encode() + b"\0\0\0\0" + struct.pack("<ff", 1.5, -2)
    assert encoded[0] == (
        b"content-type: application/octet-stream\r\ninference-header-content-length: %d\r\n" % len(head)
    )


def test_raw_tensors_without_a_byte_are_an_answer_in_json() -> None:
    outputs = {"y": np.empty((0, 3), "float32"), "t": np.empty((2, 0), object)}
    encoded = answer(outputs, AskedOutput("y", binary=True), AskedOutput("t", binary=True))
    assert encoded[0] == AS_JSON
    assert [entry["parameters"] for entry in json.loads(encoded[1])["outputs"]] == [{"binary_data_size": 0}] * 2


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_what_is_not_finite_is_a_bare_token(dtype: str) -> None:
    odd = np.array([[np.nan, np.inf], [-np.inf, 1.5]]).astype(NUMPY_DTYPES[dtype])
    outputs = {"y": odd, "t": np.array(["null", 'a"null'], object), "n": np.array([1, 2], "int8")}
    encoded = answer(outputs, AskedOutput("t"), AskedOutput("y"), AskedOutput("n"))
    assert b'"data":[NaN,Infinity,-Infinity,1.5]' in encoded[1]
    assert b'"data":["null","a\\"null"]' in encoded[1]
    assert b'"data":[1,2]' in encoded[1]


def test_classes_are_texts_in_either_form() -> None:
    outputs = {"y": np.array([[1, 9, 5], [2, 0, 3]], "float32")}
    for binary in (False, True):
        found = read_back(answer(outputs, AskedOutput("y", binary, classes=2)), {"y": "string"})["y"]
        assert found.tolist() == [["9.000000:1", "5.000000:2"], ["3.000000:2", "2.000000:0"]]
