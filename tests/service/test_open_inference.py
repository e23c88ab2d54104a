"""V2's infer on a real server: what ONNX Runtime computes, in every datatype, as JSON and as raw tensors."""

import gzip
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from engines.signature import NUMPY_DTYPES
from tests.app.protocols.open_inference_reference import DATATYPES
from tests.graphs import linear, operator
from tests.service.conftest import store_at
from tests.service.infer_cases import LENGTH
from tests.service.networks import pair
from tests.service.process import Octet
from tests.service.wire import Answer, chunked, request

Array = np.ndarray[Any, Any]

VALUES: dict[str, list[Any]] = {
    "float16": [0.5, -2, 65504, 0.1],
    "float32": [0.1, -3.5, 3e38, 0],
    "float64": [0.1, -3.5, 1e300, 0],
    "bfloat16": [0.5, -2, 3e38, 1],
    "bool": [True, False, False, True],
    "string": ["grüße", "", "null", "[\x00]"],
    **{name: [np.iinfo(name).min, np.iinfo(name).max, 0, 7] for name in DATATYPES if "int" in name},
}
WEIGHTS = np.array([[1, 2, 3, 4], [4, 3, 2, 1]], np.float32)


@pytest.fixture(scope="module")
def octet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Octet]:
    """Serves `y = x` of every dtype under its name, and others."""
    folder = tmp_path_factory.mktemp("infer")
    with store_at(folder / "store") as publish:
        for dtype in DATATYPES:
            publish(dtype, "1.2.3", operator("Identity", dtype))
        publish("linear", "1.2.3", linear(WEIGHTS))
        publish("linear", "2.0.0-rc.1", linear(WEIGHTS * 2))
        publish("fixed", "1.2.3", operator("Neg", shape=(2, 2)))
        publish("pair", "1.2.3", pair())
    with Octet(folder, folder / "store") as octet:
        yield octet
        octet.stop()


def tensor(array: Array, dtype: str, name: str = "x", **source: Any) -> dict[str, Any]:
    return {"name": name, "shape": list(array.shape), "datatype": DATATYPES[dtype], **source}


def raw(array: Array) -> bytes:
    if array.dtype != object:
        return array.tobytes()
    return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in array.ravel())


def infer(octet: Octet, model: str, document: object, tail: bytes | None = None, *headers: str) -> Answer:
    text = json.dumps(document).encode()
    length = [] if tail is None else [f"{LENGTH}: {len(text)}"]
    return octet.connect().ask(request(text + (tail or b""), f"/v2/models/{model}/infer", *length, *headers))


def outputs(answer: Answer) -> dict[str, tuple[list[int], str, Any]]:
    """Shape, datatype and flat values or bytes by name."""
    assert answer.status == 200, answer.body
    length = answer.headers.get(LENGTH)
    text, tail = (answer.body, b"") if length is None else (answer.body[: int(length)], answer.body[int(length) :])
    assert answer.headers["content-type"] == "application/" + ("json" if length is None else "octet-stream")
    found = {}
    for entry in json.loads(text)["outputs"]:
        values = entry.get("data")
        if values is None:
            size = entry["parameters"]["binary_data_size"]
            values, tail = tail[:size], tail[size:]
        found[entry["name"]] = (entry["shape"], entry["datatype"], values)
    assert not tail
    return found


@pytest.mark.parametrize("dtype", DATATYPES)
def test_every_datatype_comes_through_in_every_form(octet: Octet, dtype: str) -> None:
    numpy_dtype = NUMPY_DTYPES[dtype]
    wide = np.dtype(np.float64) if numpy_dtype.kind in "fV" else numpy_dtype
    array = np.array(VALUES[dtype], wide).astype(numpy_dtype).reshape(2, 2)
    sent = array.astype(wide)
    binary = {"parameters": {"binary_data_size": len(raw(array))}}
    requests = {
        "flat": ({"inputs": [tensor(array, dtype, data=sent.ravel().tolist())]}, None),
        "nested": ({"inputs": [tensor(array, dtype, data=sent.tolist())]}, None),
        "raw": ({"inputs": [tensor(array, dtype, **binary)]}, raw(array)),
    }
    for document, tail in requests.values():
        shape, datatype, values = outputs(infer(octet, dtype, document, tail))["y"]
        assert (shape, datatype) == ([2, 2], DATATYPES[dtype])
        assert raw(np.array(values, wide).astype(numpy_dtype)) == raw(array)
        answer = infer(octet, dtype, {**document, "parameters": {"binary_data_output": True}}, tail)
        assert outputs(answer)["y"] == ([2, 2], DATATYPES[dtype], raw(array))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_what_is_not_finite_comes_through_as_tokens(octet: Octet, dtype: str) -> None:
    array = np.array([[np.nan, np.inf], [-np.inf, 1.5]])
    answer = infer(octet, dtype, {"inputs": [tensor(array, dtype, data=array.ravel().tolist())]})
    assert b'"data":[NaN,Infinity,-Infinity,1.5]' in answer.body


@pytest.mark.parametrize("blanks", range(9))
def test_raw_tensors_may_begin_at_any_byte(octet: Octet, blanks: int) -> None:
    array = np.array([[1, 2], [3, 4]], np.float64)
    document = {"inputs": [tensor(array, "float64", parameters={"binary_data_size": 32})]}
    text = json.dumps(document).encode() + b" " * blanks
    sent = request(text + array.tobytes(), "/v2/models/float64/infer", f"{LENGTH}: {len(text)}")
    with octet.connect() as wire:
        for _ in range(2):
            assert outputs(wire.ask(sent))["y"] == ([2, 2], "FP64", [1, 2, 3, 4])


def test_an_answer_names_the_model_its_whole_version_and_the_request(octet: Octet) -> None:
    x = np.array([[1, 0]], np.float32)
    document = {"id": "mine", "model_name": "another", "inputs": [tensor(x, "float32", data=[1, 0])]}
    assert infer(octet, "linear", document).json() == {
        "model_name": "linear",
        "model_version": "1.2.3",
        "id": "mine",
        "outputs": [{"name": "y", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}],
    }
    answer = infer(octet, "LINEAR/versions/2.0.0-rc.1", {**document, "id": ""}).json()
    assert (answer["model_name"], answer["model_version"], "id" in answer) == ("linear", "2.0.0-rc.1", False)
    assert infer(octet, "linear/versions/1.2", document).json()["model_version"] == "1.2.3"


def test_inputs_and_outputs_of_both_kinds_in_one_request(octet: Octet) -> None:
    a, b = np.array([1.5, 2], np.float32), np.array([2, 1], np.int64)
    document = {
        "inputs": [
            tensor(b, "int64", "b", parameters={"binary_data_size": 16}),
            tensor(a, "float32", "a", data=[1.5, 2]),
        ],
        "outputs": [{"name": "less", "parameters": {"binary_data": True}}, {"name": "sum"}],
    }
    assert list(outputs(infer(octet, "pair", document, b.tobytes())).items()) == [
        ("less", ([2], "BOOL", b"\1\0")),
        ("sum", ([2], "FP32", [3.5, 3])),
    ]
    document["outputs"] = [{"name": "sum", "parameters": {"binary_data": True}}]
    assert outputs(infer(octet, "pair", document, b.tobytes())) == {"sum": ([2], "FP32", struct.pack("<ff", 3.5, 3))}


def test_a_body_of_nothing_but_a_row(octet: Octet) -> None:
    sent = request(struct.pack("<ff", 1, 0), "/v2/models/linear/infer", f"{LENGTH}: 0")
    assert outputs(octet.connect().ask(sent)) == {"y": ([1, 4], "FP32", struct.pack("<ffff", 1, 2, 3, 4))}


def test_classes_are_of_each_row_of_a_batched_model(octet: Octet) -> None:
    x = np.array([[1, 0], [0, 1]], np.float32)
    document = {
        "inputs": [tensor(x, "float32", data=x.ravel().tolist())],
        "outputs": [{"name": "y", "parameters": {"classification": 2}}],
    }
    top = ["4.000000:3", "3.000000:2", "4.000000:0", "3.000000:1"]
    assert outputs(infer(octet, "linear", document)) == {"y": ([2, 2], "BYTES", top)}
    document["parameters"] = {"binary_data_output": True}
    assert outputs(infer(octet, "linear", document)) == {"y": ([2, 2], "BYTES", raw(np.array(top, object)))}
    negated = np.array(["-0.000000:1", "-0.000000:2"], object)
    assert outputs(infer(octet, "fixed", document)) == {"y": ([2], "BYTES", raw(negated))}


def test_a_model_that_is_never_batched_keeps_its_shape(octet: Octet) -> None:
    x = np.array([[1, 2], [3, 4]], np.float32)
    assert outputs(infer(octet, "fixed", {"inputs": [tensor(x, "float32", data=[1, 2, 3, 4])]})) == {
        "y": ([2, 2], "FP32", [-1, -2, -3, -4])
    }


def test_text_that_is_not_utf8_is_refused_in_its_place(octet: Octet) -> None:
    document = {"inputs": [tensor(np.empty((1, 2)), "string", parameters={"binary_data_size": 10})]}
    tail = b"\1\0\0\0a\1\0\0\0\xff"
    assert infer(octet, "string", document, tail).error == "input 'x': text number 2 is not UTF-8"


# --- over HTTP

ROW = np.array([[1, 0]], np.float32)
HEADER = json.dumps({"inputs": [tensor(ROW, "float32", parameters={"binary_data_size": 8})]}).encode()
Y = {"y": ([1, 4], "FP32", [1, 2, 3, 4])}
PATH = "/v2/models/linear/infer"


def test_a_connection_takes_every_form_in_turn(octet: Octet) -> None:
    flat = request({"inputs": [tensor(ROW, "float32", data=[1, 0])]}, PATH)
    binary = request(HEADER + ROW.tobytes(), PATH, f"{LENGTH}: {len(HEADER)}")
    in_chunks = chunked([HEADER[:7], HEADER[7:] + ROW.tobytes()], PATH, f"{LENGTH}: {len(HEADER)}")
    wrong = request(HEADER + ROW.tobytes()[1:], PATH, f"{LENGTH}: {len(HEADER)}")
    with octet.connect() as wire:
        for _ in range(3):
            for sent in (flat, binary, in_chunks):
                assert outputs(wire.ask(sent)) == Y
            assert "expecting 1 additional bytes" in wire.ask(wrong).error


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_the_length_of_the_json_is_that_of_the_unpacked_one(octet: Octet, encoding: str, pack: Any) -> None:
    body = pack(HEADER + ROW.tobytes())
    sent = request(body, PATH, f"{LENGTH}: {len(HEADER)}", f"content-encoding: {encoding}")
    assert outputs(octet.connect().ask(sent)) == Y
