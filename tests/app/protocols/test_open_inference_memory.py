"""Tensors in real shared memory, read for a request and written for its answer."""

import json
import struct
from collections.abc import Iterator
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
import pytest

from app.errors import Malformed, OctetError, RegionNotFound, Unsupported, text_for
from app.protocols.open_inference import OpenInference
from app.protocols.shared_memory import Regions
from app.serving.servable import Identity
from engines.signature import Signature, TensorSpec
from tests.memory import posix_memory

IDENTITY = Identity("m", "1.2.3", "fp32", "onnxruntime")
SIGNATURE = Signature(
    (TensorSpec("x", "float32", (-1, 2)), TensorSpec("t", "string", (-1,))),
    (TensorSpec("y", "float32", (-1, 2)), TensorSpec("u", "string", (-1,)), TensorSpec("z", "int64", (-1, -1))),
    0,
)
X = np.array([[1, 2], [3, 4]], "float32")
T = b"\2\0\0\0" + "é".encode() + b"\0\0\0\0"
SIZE = 256


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    made = SharedMemory(create=True, size=SIZE)
    yield made
    made.close()
    made.unlink()


@pytest.fixture
def codec(memory: SharedMemory) -> Iterator[OpenInference]:
    """Of a server where the memory is registered as `tensors`, all of it, and as `end`, its last 16 bytes."""
    regions = Regions(enabled=True)
    regions.register("tensors", memory.name, 0, SIZE)
    regions.register("end", memory.name, SIZE - 16, 16)
    yield OpenInference(SIGNATURE, regions)
    regions.close()


def at(region: object, size: object, offset: object = None) -> dict[str, Any]:
    return {"shared_memory_region": region, "shared_memory_byte_size": size, "shared_memory_offset": offset}


def body(x: dict[str, Any], t: dict[str, Any], *outputs: Any) -> bytes:
    inputs = [
        {"name": "x", "shape": [2, 2], "datatype": "FP32", "parameters": x},
        {"name": "t", "shape": [2], "datatype": "BYTES", "parameters": t},
    ]
    return json.dumps({"inputs": inputs, "outputs": outputs}).encode()


def wanted(name: str, **parameters: Any) -> dict[str, Any]:
    return {"name": name, "parameters": parameters}


def decode(codec: OpenInference, request: bytes) -> Any:
    return codec.decode_quickly(request) or codec.decode_exactly(request)


def test_inputs_are_read_where_the_client_says(codec: OpenInference, memory: SharedMemory) -> None:
    memory.buf[8:24] = X.tobytes()
    memory.buf[SIZE - 13 : SIZE - 3] = T
    request = body(at("tensors", 16, 8), at("end", 10, 3))
    for _ in range(2):
        decoded = decode(codec, request)
        assert decoded.inputs["x"].tolist() == X.tolist()
        assert decoded.inputs["t"].tolist() == ["é", ""]
    memory.buf[8:12] = struct.pack("<f", 7)
    assert decode(codec, request).inputs["x"].tolist() == [[7, 2], [3, 4]]
    assert decoded.inputs["x"].tolist() == X.tolist(), "what was read does not change under the engine"


def test_inputs_may_lie_in_all_three_places(codec: OpenInference, memory: SharedMemory) -> None:
    memory.buf[:10] = T
    header = body({"binary_data_size": 16}, at("tensors", 10))
    for _ in range(2):
        decoded = codec.decode_quickly(header + X.tobytes(), len(header))
        assert decoded is not None
        assert (decoded.inputs["x"].tolist(), decoded.inputs["t"].tolist()) == (X.tolist(), ["é", ""])


def test_outputs_are_written_and_not_sent(codec: OpenInference, memory: SharedMemory) -> None:
    memory.buf[8:24], memory.buf[:8] = X.tobytes(), bytes(8)
    asked = [wanted("u", **at("end", 16)), wanted("z"), wanted("y", **at("tensors", 100, 40), binary_data=True)]
    memory.buf[100:110] = T
    form = decode(codec, body(at("tensors", 16, 8), at("tensors", 10, 100), *asked)).form
    outputs = {"y": X + 1, "u": np.array(["é", ""], object), "z": np.array([[7], [8]])}
    encoded = codec.encode(outputs, form, IDENTITY)
    assert encoded[0] == b"content-type: application/json\r\n"
    assert json.loads(encoded[1])["outputs"] == [
        {"name": "u", "shape": [2], "datatype": "BYTES"},
        {"name": "z", "shape": [2, 1], "datatype": "INT64", "data": [7, 8]},
        {"name": "y", "shape": [2, 2], "datatype": "FP32"},
    ]
    assert bytes(memory.buf[40:56]) == (X + 1).tobytes()
    assert bytes(memory.buf[SIZE - 16 : SIZE - 6]) == T


def refusal(codec: OpenInference, request: bytes, kind: type[OctetError] = Malformed) -> str:
    with pytest.raises(kind) as caught:
        decode(codec, request)
    return text_for(caught.value)


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (at("tensors", 12), "input byte size mismatch for input 'x': expected 16 bytes"),
        (at("tensors", 20), "input byte size mismatch for input 'x': expected 16 bytes"),
        (at("tensors", None), "input 'x': 'shared_memory_region' needs 'shared_memory_byte_size' beside it"),
        (at("tensors", -16), "parameter 'shared_memory_byte_size' must be a whole number from 0 on, got -16"),
        (at("tensors", 16, 1.5), "parameter 'shared_memory_offset' must be a whole number from 0 on, got 1.5"),
        (at("tensors", 16, SIZE - 15), "'tensors' has 256 bytes, asked were 16 from offset 241"),
        (at("end", 16, 1), "'end' has 16 bytes, asked were 16 from offset 1"),
        (at(5, 16), "parameter 'shared_memory_region' must be a string, got 5"),
        ({**at("tensors", 16), "binary_data_size": 16}, "expected exactly one of"),
    ],
)
def test_memory_that_is_not_the_tensor_is_refused(codec: OpenInference, x: dict[str, Any], told: str) -> None:
    assert told in refusal(codec, body(x, at("tensors", 8)))


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (wanted("y", **at("tensors", 15)), "output 'y' takes 16 bytes, its 'shared_memory_byte_size' is 15"),
        (wanted("y", **at("tensors", None)), "output 'y': 'shared_memory_region' needs 'shared_memory_byte_size'"),
        (wanted("y", **at("tensors", 16), classification=1), "'classification' does not go together with"),
    ],
)
def test_what_is_known_not_to_fit_is_refused_before_it_runs(codec: OpenInference, output: Any, told: str) -> None:
    assert told in refusal(codec, body(at("tensors", 16), at("tensors", 8), output))


@pytest.mark.parametrize(
    ("name", "place", "told"),
    [
        ("z", at("tensors", 15), "output 'z' takes 16 bytes, its 'shared_memory_byte_size' is 15"),
        ("u", at("tensors", 9), "output 'u' takes 10 bytes, its 'shared_memory_byte_size' is 9"),
        ("y", at("end", 100, 8), "'end' has 16 bytes, asked were 16 from offset 8"),
    ],
)
def test_what_does_not_fit_is_refused_when_it_is_known(
    codec: OpenInference, memory: SharedMemory, name: str, place: dict[str, Any], told: str
) -> None:
    form = decode(codec, body(at("tensors", 16), at("tensors", 8), wanted(name, **place))).form
    before = bytes(memory.buf)
    outputs = {"y": X, "u": np.array(["é", ""], object), "z": np.array([[7], [8]])}
    with pytest.raises(Malformed) as caught:
        codec.encode(outputs, form, IDENTITY)
    assert told in text_for(caught.value)
    assert bytes(memory.buf) == before


def test_memory_that_is_not_registered_is_not_found(codec: OpenInference) -> None:
    assert "unable to find shared memory region 'other'" in refusal(
        codec, body(at("other", 16), at("tensors", 8)), RegionNotFound
    )


def test_shared_memory_is_off_unless_it_was_switched_on() -> None:
    codec = OpenInference(SIGNATURE, Regions(enabled=False))
    assert "--shared-memory" in refusal(codec, body(at("tensors", 16), at("tensors", 8)), Unsupported)


def test_many_texts_in_memory_are_left_to_a_thread() -> None:
    """However short the body is that points at them."""
    count = 16_385
    texts = OpenInference(Signature((TensorSpec("t", "string", (-1,)),), (), 0), regions := Regions(enabled=True))
    tensor = {"name": "t", "shape": [count], "datatype": "BYTES", "parameters": at("texts", 4 * count)}
    request = json.dumps({"inputs": [tensor]}).encode()
    assert not texts.is_long(request)
    with posix_memory(bytes(4 * count)) as path:
        regions.register("texts", path.name, 0, 4 * count)
        assert texts.is_long(request)
        assert texts.decode_quickly(request) is None
        assert texts.decode_quickly(request, len(request)) is None
        assert texts.decode_exactly(request).inputs["t"].tolist() == [""] * count
        regions.close()
