"""tritonclient and the server hand tensors to each other through POSIX shared memory."""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.clients.client import Client, Refused
from tests.clients.scripts.lines import Array, pack, unpack
from tests.clients.served import expected
from tests.clients.triton import infer

A, B = np.array([[1, 2.5, 3]], np.float32), np.array([[3, 2, 1]])
SIZE_BYTES = 256
Memory = tuple[str, str]
"""The name of the region, and the key of the memory behind it."""


@pytest.fixture
def memory(triton: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    """A registered region of SIZE_BYTES, under a name that no other test run has."""
    name = tmp_path_factory.mktemp("octet").as_posix().strip("/").replace("/", "_")
    triton.ask("make_region", name, f"/{name}", SIZE_BYTES)
    triton.ask("register_system_shared_memory", name, f"/{name}", SIZE_BYTES)
    yield name, f"/{name}"
    triton.ask("unregister_system_shared_memory", name)
    triton.ask("drop_region", name)


def at(memory: Memory, name: str, array: Array, datatype: str, size: int, offset: int = 0) -> dict[str, object]:
    """An input that lies in the region."""
    return {
        "name": name, "datatype": datatype, "shape": list(array.shape),
        "region": memory[0], "byte_size": size, "offset": offset,
    }  # fmt: skip


def test_a_region_is_registered_and_forgotten(triton: Client, memory: Memory) -> None:
    name, key = memory
    entry = {"name": name, "key": key, "offset": 0, "byte_size": SIZE_BYTES}
    assert triton.ask("get_system_shared_memory_status", name) == [entry]
    assert entry in triton.ask("get_system_shared_memory_status")
    triton.ask("unregister_system_shared_memory", name)
    assert triton.ask("get_system_shared_memory_status") == []
    triton.ask("register_system_shared_memory", name, key, SIZE_BYTES)
    triton.ask("unregister_system_shared_memory")
    assert triton.ask("get_system_shared_memory_status") == []


def test_inputs_and_outputs_in_memory(triton: Client, memory: Memory) -> None:
    a_bytes = triton.ask("write_region", memory[0], pack(A))
    b_bytes = triton.ask("write_region", memory[0], pack(B), a_bytes)
    outputs = [
        {"name": "sum", "region": memory[0], "byte_size": 12, "offset": 64},
        {"name": "less", "region": memory[0], "byte_size": 3, "offset": 128},
    ]
    inputs = [at(memory, "a", A, "FP32", a_bytes), at(memory, "b", B, "INT64", b_bytes, a_bytes)]
    answer = triton.ask("infer", model_name="pair", inputs=inputs, outputs=outputs)
    wanted = expected("pair", a=A, b=B)
    assert answer["outputs"] == {}
    for output in outputs:
        array = wanted[output["name"]]
        seen = triton.ask("read_region", memory[0], array.dtype.name, list(array.shape), output["offset"])
        np.testing.assert_array_equal(unpack(seen), array)


def test_text_in_memory(triton: Client, memory: Memory) -> None:
    words = np.array(["", "Straße", "a"], object)
    size = triton.ask("write_region", memory[0], pack(words))
    outputs = [{"name": "y", "region": memory[0], "byte_size": size, "offset": 128}]
    triton.ask("infer", model_name="words", inputs=[at(memory, "x", words, "BYTES", size)], outputs=outputs)
    seen = triton.ask("read_region", memory[0], "object", [3], 128)
    np.testing.assert_array_equal(unpack(seen), words)


def test_one_output_in_memory_and_one_in_the_answer(triton: Client, memory: Memory) -> None:
    outputs = [{"name": "sum", "region": memory[0], "byte_size": 12}, {"name": "less"}]
    answer = infer(triton, "pair", {"a": A, "b": B}, outputs=outputs)
    wanted = expected("pair", a=A, b=B)
    np.testing.assert_array_equal(answer.outputs["less"], wanted["less"])
    np.testing.assert_array_equal(unpack(triton.ask("read_region", memory[0], "float32", [1, 3])), wanted["sum"])


def test_text_in_memory_that_is_no_utf8_is_refused(triton: Client, memory: Memory) -> None:
    triton.ask("write_region", memory[0], pack(np.array([1, 0, 0, 0, 0xFF], np.uint8)))
    with pytest.raises(Refused, match="UTF-8") as refused:
        triton.ask("infer", model_name="words", inputs=[at(memory, "x", np.empty(1), "BYTES", 5)])
    assert refused.value.status == "400"


@pytest.mark.parametrize(("size", "offset"), [(12, SIZE_BYTES - 8), (8, 0), (16, 0), (12, SIZE_BYTES + 1)])
def test_bytes_that_are_not_there_or_do_not_fit(triton: Client, memory: Memory, size: int, offset: int) -> None:
    inputs = [at(memory, "x", A, "FP32", size, offset)]
    with pytest.raises(Refused) as refused:
        triton.ask("infer", model_name="size", inputs=inputs)
    assert refused.value.status == "400"


def test_an_output_that_does_not_fit(triton: Client, memory: Memory) -> None:
    with pytest.raises(Refused, match="'y'") as refused:
        infer(triton, "size", {"x": A}, outputs=[{"name": "y", "region": memory[0], "byte_size": 8}])
    assert refused.value.status == "400"


@pytest.mark.parametrize("key", ["/no-such-memory-of-octet", "/../etc/passwd", "../../etc/passwd", ""])
def test_a_key_that_is_no_shared_memory(triton: Client, key: str) -> None:
    with pytest.raises(Refused) as refused:
        triton.ask("register_system_shared_memory", "wrong", key, 8)
    assert refused.value.status == "400"


def test_a_region_larger_than_its_memory(triton: Client, memory: Memory) -> None:
    with pytest.raises(Refused) as refused:
        triton.ask("register_system_shared_memory", "wrong", memory[1], 1 << 20)
    assert refused.value.status == "400"


def test_an_unknown_region(triton: Client) -> None:
    inputs = [at(("nowhere", ""), "x", A, "FP32", 12)]
    with pytest.raises(Refused, match="nowhere") as refused:
        triton.ask("infer", model_name="size", inputs=inputs)
    assert refused.value.status == "404"


def test_gpu_memory_is_refused_in_words(triton: Client) -> None:
    with pytest.raises(Refused, match="CUDA"):
        triton.ask("register_cuda_shared_memory", "gpu", "", 0, 8)
