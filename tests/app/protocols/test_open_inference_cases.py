"""What OpenInference says to the requests that people and attackers really send."""

import json
from typing import Any

import numpy as np
import pytest

from app.errors import Malformed, text_for
from app.protocols.open_inference import _LONGEST_KNOWN_BYTES, _MOST_KNOWN, OpenInference
from app.protocols.shared_memory import Regions
from engines.signature import Signature, TensorSpec

OUTPUTS = (TensorSpec("y", "float32", (-1, 4)), TensorSpec("t", "string", (-1,)))


def takes(dtype: str, *shape: int, outputs: tuple[TensorSpec, ...] = OUTPUTS) -> OpenInference:
    """The codec of a model with one input, batched where its first dimension is dynamic."""
    signature = Signature((TensorSpec("x", dtype, shape),), outputs, 0 if shape[:1] == (-1,) else None)
    return OpenInference(signature, Regions(enabled=False))


MATRIX = takes("float32", -1, 3)
TWO = OpenInference(
    Signature((TensorSpec("ids", "int64", (-1,)), TensorSpec("mask", "bool", (-1,))), OUTPUTS, 0),
    Regions(enabled=False),
)


def body(*inputs: dict[str, Any], **members: Any) -> bytes:
    return json.dumps({"inputs": inputs, **members}).encode()


def x(**members: Any) -> dict[str, Any]:
    """One row of three numbers, as it should be unless told otherwise."""
    return {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]} | members


def raw(size: float, **members: Any) -> dict[str, Any]:
    return x(data=None, parameters={"binary_data_size": size}, **members)


def refusal(codec: OpenInference, request: bytes, json_bytes: int | None = None) -> str:
    with pytest.raises(Malformed) as caught:
        codec.decode_quickly(request, json_bytes) or codec.decode_exactly(request, json_bytes)
    return text_for(caught.value)


@pytest.mark.parametrize(
    ("request_body", "told"),
    [
        (b"", "the document is empty"),
        (b"{", "JSON parse error"),
        (b"[1]", "the body must be a JSON object with 'inputs', got a list of 1"),
        (b"{}", "'inputs' must be a list of objects with a name, a shape and a datatype, got null"),
        (body(), "missing input 'x': the model needs 'x', got none"),
        (body(x(), x()), "input 'x' is given twice"),
        (body(x(), x(name="z")), "unknown input 'z': the model has 'x'"),
        (body(x(name=5)), "'inputs'[0] must be an object with the 'name' of an input, got an object"),
        (b'{"inputs":[5]}', "'inputs'[0] must be an object with the 'name' of an input, got 5"),
        (body(x(datatype="FP64")), "input 'x': 'datatype' must be FP32, got \"FP64\""),
        (body(x(datatype=None)), "input 'x': 'datatype' must be FP32, got null"),
        (body(x(shape=None)), "input 'x': 'shape' must be a list of at most 32, got null"),
        (body(x(shape=[1] * 33)), "input 'x': 'shape' must be a list of at most 32, got a list of 33"),
        (body(x(shape=[-1, 3])), "input 'x': 'shape' must hold whole numbers from 0 on, got -1"),
        (body(x(shape=[True, 3])), "input 'x': 'shape' must hold whole numbers from 0 on, got true"),
        (body(x(shape=[1.0, 3])), "input 'x': 'shape' must hold whole numbers from 0 on, got 1.0"),
        (body(x(shape=[2**63, 3])), "input 'x': 'shape' must hold whole numbers from 0 on, got 9223372036854775808"),
        (body(x(shape=[3])), "input 'x' has shape [3], expected [?, 3]"),
        (body(x(shape=[1, 2], data=[1, 2])), "input 'x' has shape [1, 2], expected [?, 3]"),
        (body(x(data=[1, 2])), "'data' has the shape [2], expected [1, 3] as 'shape' says, or its 3 values in one"),
        (body(x(data=[[1], [2], [3]])), "'data' has the shape [3, 1], expected [1, 3]"),
        (body(x(data=[[1, 2, 3], [4]], shape=[2, 3])), "input 'x'[1]: expected a list of 3 as before it, got one of 1"),
        (body(x(data=[1, [2], 3])), "input 'x'[1]: expected a number (float32), got a list of 1"),
        (body(x(data=[1, True, 3])), "input 'x'[1]: expected a number (float32), got true"),
        (body(x(data=[1, "2", 3])), "input 'x'[1]: expected a number (float32), got \"2\""),
        (body(x(data=7)), "input 'x': 'data' must be a list, got 7"),
        (body(x(data=None)), "input 'x': expected exactly one of 'data' and the parameters 'binary_data_size' and"),
        (body(x(parameters={"binary_data_size": 12})), "expected exactly one of"),
        (body(x(parameters=[1])), "input 'x': 'parameters' must be an object, got a list of 1"),
        (body(x(parameters={"a": [1]})), "parameter 'a' must be a string, a number, true or false, got a list"),
        (body(x(parameters={"a": {}})), "parameter 'a' must be a string, a number, true or false, got an object"),
        (body(raw(-1)), "parameter 'binary_data_size' must be a whole number from 0 on, got -1"),
        (body(raw(1.0)), "parameter 'binary_data_size' must be a whole number from 0 on, got 1.0"),
        (body(x(), id=5), "'id' must be a string, got 5"),
        (body(x(), id="\ud800"), "'id' holds half a surrogate pair"),
        (body(x(), parameters=[]), "the request: 'parameters' must be an object, got a list of 0"),
        (body(x(), parameters={"priority": -1}), "parameter 'priority' must be a whole number from 0 on, got -1"),
        (body(x(), parameters={"priority": True}), "parameter 'priority' must be a whole number from 0 on, got true"),
        (body(x(), parameters={"timeout": 1.5}), "parameter 'timeout' must be a whole number from 0 on, got 1.5"),
        (body(x(), parameters={"sequence_id": 0.5}), "parameter 'sequence_id' must be a whole number from 0 on"),
        (body(x(), parameters={"sequence_end": 1}), "parameter 'sequence_end' must be true or false, got 1"),
        (body(x(), parameters={"triton_x": 1}), "parameter 'triton_x': names that start with 'triton_' are reserved"),
        (body(x(), outputs={}), "'outputs' must be a list of objects with a name, got an object"),
        (body(x(), outputs=["y"]), "'outputs'[0] must be an object with the 'name' of an output, got \"y\""),
        (body(x(), outputs=[{"name": "z"}]), "unknown output 'z': the model has 'y', 't'"),
        (body(x(), outputs=[{"name": "y"}] * 2), "output 'y' is asked for twice"),
        (
            body(x(), outputs=[{"name": "y", "parameters": {"binary_data": "yes"}}]),
            "output 'y': parameter 'binary_data' must be true or false, got \"yes\"",
        ),
        (
            body(x(), outputs=[{"name": "y", "parameters": {"classification": 0}}]),
            "output 'y': parameter 'classification' must be a whole number from 1 on, got 0",
        ),
        (
            body(x(), outputs=[{"name": "t", "parameters": {"classification": 1}}]),
            "output 't' holds texts: 'classification' is for numbers",
        ),
        (body(x()) + b"\0\0", "JSON parse error: '\\x00\\x00' follows the end of the document"),
        (body(x()) + b"{}", "JSON parse error: '{}' follows the end of the document"),
        (b'{"inputs":[],"inputs":[]}', "key 'inputs' stands twice in one object"),
        (b'{"inputs":' + b"[" * 100_000, "nested too deep"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_came_and_what_was_expected(request_body: bytes, told: str) -> None:
    assert told in refusal(MATRIX, request_body)
    if request_body:  # an empty one with its length is a raw request
        assert told in refusal(MATRIX, request_body, len(request_body))


def test_raw_tensors_need_the_length_of_the_json() -> None:
    told = refusal(MATRIX, body(raw(12)) + b"hello world!")
    assert "follows the end of the document" in told
    told = refusal(MATRIX, body(raw(12)))
    assert "send the length of the JSON as Inference-Header-Content-Length" in told


@pytest.mark.parametrize(
    ("header", "tail", "length", "told"),
    [
        (raw(12), 12, 1, "Inference-Header-Content-Length is"),
        (raw(12), 8, 0, "unexpected size for input 'x': expecting 4 additional bytes at the end of the body"),
        (raw(12), 13, 0, "unexpected additional input data: 1 bytes follow the last tensor of the JSON"),
        (x(), 12, 0, "unexpected additional input data: 12 bytes follow the last tensor of the JSON"),
        (raw(8), 8, 0, "input byte size mismatch for input 'x': expected 12 bytes for shape [1, 3] of float32, got 8"),
        (raw(12), 12, -3, "JSON parse error"),
    ],
)
def test_raw_tensors_must_fit_to_the_byte(header: dict[str, Any], tail: int, length: int, told: str) -> None:
    """`length` is how far off the Inference-Header-Content-Length is, where 1 is beyond the end of the body."""
    text = body(header)
    json_bytes = len(text) + (tail + 1 if length > 0 else length)
    assert told in refusal(MATRIX, text + bytes(tail), json_bytes)


def test_a_raw_request_needs_a_model_with_one_input() -> None:
    assert "raw request must only have 1 input to be deduced, the model has 2" in refusal(TWO, bytes(9), 0)


@pytest.mark.parametrize(
    ("dtype", "datatype", "data", "told"),
    [
        ("int8", "INT8", "[300]", "expected an integer of int8, -128 to 127, without a decimal point, got 300"),
        ("int32", "INT32", "[1.0]", "got 1.0"),
        ("uint64", "UINT64", f"[{2**64}]", f"got {2**64}"),
        ("bool", "BOOL", "[1]", "expected true or false, got 1"),
        ("string", "BYTES", "[5]", "expected a string, got 5"),
        ("string", "BYTES", '[{"b64":"aGk="}]', "expected a string, got an object"),
        ("string", "BYTES", '["\\ud800"]', "half a surrogate pair"),
        ("float32", "FP32", "[1e309]", "number too big: 1e309"),
    ],
)
def test_nothing_wraps_around_or_is_coerced(dtype: str, datatype: str, data: str, told: str) -> None:
    request = f'{{"inputs":[{{"name":"x","shape":[1],"datatype":"{datatype}","data":{data}}}]}}'
    assert told in refusal(takes(dtype, -1), request.encode())


def test_a_shape_without_values_cannot_promise_a_flood() -> None:
    codec = takes("float32", -1, -1, 224)
    assert codec.decode_exactly(body(x(shape=[0, 2**20, 224], data=[]))).rows == 0
    told = refusal(codec, body(x(shape=[0, 2**20 + 1, 224], data=[])))
    assert "holds no values, yet its shape is [0, 1048577, 224]: the other sizes may come to 1048576 at most" in told


def test_inputs_of_different_length_are_refused() -> None:
    ids = {"name": "ids", "shape": [2], "datatype": "INT64", "data": [1, 2]}
    mask = {"name": "mask", "shape": [1], "datatype": "BOOL", "data": [True]}
    assert refusal(TWO, body(ids, mask)) == "all inputs need the same number of rows: 'ids' has 2, 'mask' has 1"


def test_what_may_be_left_out_may_be_null() -> None:
    request = body(x(parameters=None), id=None, parameters=None, outputs=None, own=None, model_name="another")
    decoded = MATRIX.decode_exactly(request)
    assert decoded.inputs["x"].tolist() == [[1, 2, 3]]
    assert (decoded.form.request_id, decoded.timeout_seconds, decoded.priority) == (None, None, 2)
    assert [output.name for output in decoded.form.outputs] == ["y", "t"]


def test_an_empty_id_is_none() -> None:
    for request in (body(x(), id=""), body(x(), id="", own=None)):
        assert (MATRIX.decode_quickly(request) or MATRIX.decode_exactly(request)).form.request_id is None


def test_what_an_output_asks_for_goes_before_what_the_request_asks() -> None:
    outputs = [{"name": "y", "parameters": {"binary_data": False}}, {"name": "t"}]
    for binary in (True, False):
        decoded = MATRIX.decode_exactly(body(x(), parameters={"binary_data_output": binary}, outputs=outputs))
        assert [(output.name, output.binary) for output in decoded.form.outputs] == [("y", False), ("t", binary)]


@pytest.mark.parametrize(("given", "priority"), [(0, 2), (1, 1), (2, 2), (3, 3), (4, 2), (2**64 - 1, 2)])
def test_a_priority_that_is_no_level_is_the_normal_one(given: int, priority: int) -> None:
    assert MATRIX.decode_exactly(body(x(), parameters={"priority": given})).priority == priority


@pytest.mark.parametrize(("microseconds", "seconds"), [(0, None), (1, 1e-6), (2_500_000, 2.5)])
def test_a_timeout_is_given_in_microseconds(microseconds: int, seconds: float | None) -> None:
    for request in (body(x(), parameters={"timeout": microseconds}),) * 2:
        decoded = MATRIX.decode_quickly(request)
        assert decoded is not None
        assert decoded.timeout_seconds == seconds


def test_requests_share_a_group_exactly_when_their_rows_fit_together() -> None:
    codec = takes("float32", -1, -1)
    shapes = ([1, 2], [2, 2], [1, 1])
    groups = [codec.decode_exactly(body(x(shape=s, data=[0] * (s[0] * s[1])))).group for s in shapes]
    assert groups[0] == groups[1] != groups[2]


# --- known headers


def tensors(codec: OpenInference, header: bytes, *values: float) -> Any:
    decoded = codec.decode_quickly(header + np.array(values, "float32").tobytes(), len(header))
    assert decoded is not None
    return decoded.inputs["x"].tolist()


def test_a_header_is_read_once_and_its_tensors_every_time() -> None:
    codec = takes("float32", -1, 3)
    header = body(raw(12))
    assert tensors(codec, header, 1, 2, 3) == [[1, 2, 3]]
    assert list(codec._known_headers) == [header]
    assert tensors(codec, header, 4, 5, 6) == [[4, 5, 6]]


def test_nothing_of_a_refused_request_is_remembered() -> None:
    codec = takes("float32", -1, 3)
    header = body(raw(12))
    for size in (0, 8, 16):
        refusal(codec, header + bytes(size), len(header))
    assert not codec._known_headers
    tensors(codec, header, 1, 2, 3)
    for size in (0, 8, 16):
        refusal(codec, header + bytes(size), len(header))
    refusal(codec, header, len(header) + 12)


def test_made_up_headers_fill_no_memory() -> None:
    codec = takes("float32", -1, 3)
    for number in range(3 * _MOST_KNOWN):
        tensors(codec, body(raw(12), own=number), 1, 2, 3)
        assert codec.decode_quickly(body(x(), parameters={"own": number})) is not None
        assert len(codec._known_headers) <= _MOST_KNOWN
        assert len(codec._known_asked) <= _MOST_KNOWN
    kept = len(codec._known_headers), len(codec._known_asked)
    long = "o" * _LONGEST_KNOWN_BYTES
    assert codec.decode_quickly(body(raw(12), own=long) + bytes(12), len(body(raw(12), own=long))) is None
    assert codec.decode_quickly(body(x(), parameters={"own": long})) is None
    tensors(codec, body(raw(12), id="numbered"), 1, 2, 3)
    assert (len(codec._known_headers), len(codec._known_asked)) == kept


def test_values_in_a_header_are_of_one_request() -> None:
    ids = {"name": "ids", "shape": [1], "datatype": "INT64", "data": [7]}
    mask = {"name": "mask", "shape": [1], "datatype": "BOOL", "parameters": {"binary_data_size": 1}}
    header = body(ids, mask)
    decoded = TWO.decode_quickly(header + b"\1", len(header))
    assert decoded is not None
    assert (decoded.inputs["ids"].tolist(), decoded.inputs["mask"].tolist()) == ([7], [True])
    assert not TWO._known_headers


def test_many_texts_are_left_to_a_thread() -> None:
    codec = takes("string", -1)
    header = body({"name": "x", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 100_004}})
    request = header + (100_000).to_bytes(4, "little") + b"a" * 100_000
    assert codec.decode_quickly(request, len(header)) is None
    assert codec.decode_exactly(request, len(header)).inputs["x"].tolist() == ["a" * 100_000]
