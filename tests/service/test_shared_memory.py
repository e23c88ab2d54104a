"""Shared memory between a client and a real server: its paths, tensors that lie in it, and clients who mean no good."""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.memory import open_memory, posix_memory
from tests.service.conftest import FLAGS
from tests.service.process import Octet, alive
from tests.service.wire import request

ROWS = np.array([[1, 2], [3.5, -4]], np.float32)
SIZE = 4096


@pytest.fixture(scope="module")
def octet(doors_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Octet]:
    with Octet(tmp_path_factory.mktemp("server"), doors_store, *FLAGS, "--shared-memory") as octet:
        yield octet
        octet.stop()


@pytest.fixture
def memory(octet: Octet) -> Iterator[Path]:
    """A page that begins with ROWS. No region is left, nor any file that the server holds open."""
    with posix_memory(ROWS.tobytes().ljust(SIZE, b"\0")) as path:
        yield path
    assert unregister(octet).status_code == 200
    assert open_memory(octet.process.pid) == []


def register(octet: Octet, name: str, body: object, kind: str = "system") -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return octet.client.post(f"/v2/{kind}sharedmemory/region/{name}/register", content=content)


def unregister(octet: Octet, name: str | None = None, kind: str = "system") -> httpx.Response:
    region = "" if name is None else f"/region/{name}"
    return octet.client.post(f"/v2/{kind}sharedmemory{region}/unregister")


def status(octet: Octet, name: str | None = None, kind: str = "system") -> httpx.Response:
    return octet.get(f"/v2/{kind}sharedmemory{'' if name is None else f'/region/{name}'}/status")


def stretch(region: str, size: int, offset: int | None = None) -> dict[str, Any]:
    """The parameters of a tensor that lies there."""
    place = {"shared_memory_region": region, "shared_memory_byte_size": size}
    return {"parameters": place if offset is None else place | {"shared_memory_offset": offset}}


def question(source: dict[str, Any], **target: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", **source}]}
    return body | ({"outputs": [{"name": "y", **target}]} if target else {})


def infer(octet: Octet, body: object, model: str = "double") -> httpx.Response:
    return octet.client.post(f"/v2/models/{model}/infer", json=body)


# --- the paths


def test_a_region_comes_is_told_and_goes(octet: Octet, memory: Path) -> None:
    first = register(octet, "first", {"key": memory.name, "offset": 16, "byte_size": 32})
    assert (first.status_code, first.content) == (200, b"")
    assert register(octet, "second%20one", {"key": f"/{memory.name}", "byte_size": SIZE}).status_code == 200
    one = {"name": "first", "key": memory.name, "offset": 16, "byte_size": 32}
    two = {"name": "second one", "key": f"/{memory.name}", "offset": 0, "byte_size": SIZE}
    assert status(octet).json() == [one, two]
    assert status(octet, "second%20one").json() == [two]
    assert open_memory(octet.process.pid) == [str(memory)] * 2
    gone = unregister(octet, "first")
    assert (gone.status_code, gone.content) == (200, b"")
    assert unregister(octet, "first").status_code == 200, "an unknown one is no error"
    assert status(octet).json() == [two]
    assert unregister(octet).status_code == 200
    assert status(octet).json() == []
    unknown = status(octet, "first")
    assert (unknown.status_code, unknown.json()) == (
        404,
        {"error": "unable to find shared memory region 'first': register it first"},
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "key: Field required; byte_size: Field required"),
        ({"key": "/x"}, "byte_size: Field required"),
        ({"key": "/x", "byte_size": True}, "byte_size: Input should be a valid integer"),
        ({"key": "/x", "byte_size": 1.0}, "byte_size: Input should be a valid integer"),
        ({"key": "/x", "byte_size": "1"}, "byte_size: Input should be a valid integer"),
        ({"key": "/x", "byte_size": 1, "offset": False}, "offset: Input should be a valid integer"),
        ({"key": 5, "byte_size": 1}, "key: Input should be a valid string"),
        ({"key": "/x", "byte_size": -1}, "'byte_size' must be above 0"),
        ({"key": "/x", "byte_size": 1, "offset": -1}, "'offset' must not be negative"),
        ({"key": "/../etc/passwd", "byte_size": 1}, "names no shared memory"),
        ({"key": "/octet-test-none", "byte_size": 1}, "cannot be opened: No such file or directory"),
        (b'{"key": "a\\u0000b", "byte_size": 1}', "names no shared memory"),
        (b'{"key": "\\ud800", "byte_size": 1}', "half a surrogate pair"),
        (b'{"key": "/x", "byte_size": 1, "byte_size": 2}', "stands twice"),
        (b'{"key": "/x", "byte_size": ' + b"9" * 5000 + b"}", "number too big"),
        (b"[]", "must be a JSON object"),
        (b"{", "JSON parse error"),
    ],
)
def test_a_registration_that_is_none(octet: Octet, body: object, words: str) -> None:
    answer = register(octet, "r", body)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["error"]
    assert status(octet).json() == []


def test_more_than_the_memory_has_is_not_registered(octet: Octet, memory: Path) -> None:
    for offset, size in ((0, SIZE + 1), (SIZE, 1), (2**63, 1), (1, 2**64 - 1), (10**30, 10**30)):
        answer = register(octet, "r", {"key": memory.name, "offset": offset, "byte_size": size})
        assert answer.status_code == 400, answer.text
        assert f"its file has {SIZE} bytes" in answer.json()["error"]
    assert open_memory(octet.process.pid) == []


def test_a_body_without_an_end_is_not_waited_for(octet: Octet) -> None:
    answer = register(octet, "r", b" " * 65_537)
    assert (answer.status_code, "rows" in answer.json()["error"]) == (413, False)
    with octet.connect() as wire:
        wire.send(request(b"{", "/v2/systemsharedmemory/region/r/register", length=100))
        wire.vanish()
    alive(octet.connect())
    assert octet.process.poll() is None


@pytest.mark.parametrize(
    "path", ["status", "region/r/status", "region/r/register", "unregister", "region/r/unregister"]
)
@pytest.mark.parametrize("kind", ["system", "cuda"])
def test_a_path_asked_with_the_other_method(octet: Octet, kind: str, path: str) -> None:
    method = "POST" if path.endswith("status") else "GET"
    answer = octet.client.request(method, f"/v2/{kind}sharedmemory/{path}")
    assert (answer.status_code, list(answer.json())) == (405, ["error"])


@pytest.mark.parametrize(
    "path", ["register", "region/status", "region//status", "region/a/b/status", "region/a%2Fb/status", "other"]
)
def test_what_is_no_path_of_it(octet: Octet, path: str) -> None:
    answer = octet.get(f"/v2/systemsharedmemory/{path}")
    assert (answer.status_code, list(answer.json())) == (404, ["error"])


def test_memory_of_a_gpu_is_nowhere(octet: Octet) -> None:
    assert status(octet, kind="cuda").json() == []
    assert status(octet, "r", kind="cuda").status_code == 404
    for name in (None, "r"):
        answer = unregister(octet, name, kind="cuda")
        assert (answer.status_code, answer.content) == (200, b"")
    body = {"raw_handle": {"b64": "AA=="}, "device_id": 0, "byte_size": 4}
    refused = register(octet, "r", body, kind="cuda")
    assert refused.status_code == 501
    assert "'r' cannot be registered: no engine here shares memory of a GPU" in refused.json()["error"]


def test_while_it_is_off(server: Octet) -> None:
    calls = (
        register(server, "r", {"key": "/x", "byte_size": 1}),
        unregister(server),
        status(server),
        status(server, "r"),
    )
    asked = infer(server, question(stretch("r", 16)))
    for answer in (*calls, asked):
        assert answer.status_code == 501
        assert answer.json() == {"error": "shared memory is off here: start the server with --shared-memory"}
    assert unregister(server, kind="cuda").status_code == 200


# --- tensors


def test_a_tensor_is_read_from_memory_and_the_answer_written_there(octet: Octet, memory: Path) -> None:
    register(octet, "page", {"key": memory.name, "byte_size": SIZE})
    answer = infer(octet, question(stretch("page", 16), **stretch("page", 64, 100)))
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"] == [{"name": "y", "shape": [2, 2], "datatype": "FP32"}]
    page = memory.read_bytes()
    assert page[100:116] == (2 * ROWS).tobytes()
    assert (page[:16], page[16:100], page[116:]) == (ROWS.tobytes(), bytes(84), bytes(SIZE - 116))


def test_memory_may_be_on_one_side_alone(octet: Octet, memory: Path) -> None:
    register(octet, "page", {"key": memory.name, "offset": 8, "byte_size": 100})
    data = {"data": ROWS.ravel().tolist()}
    answer = infer(octet, question(data, **stretch("page", 16, 4)))
    assert answer.status_code == 200, answer.text
    assert memory.read_bytes()[12:28] == (2 * ROWS).tobytes()
    answer = infer(octet, question(stretch("page", 16, 4)))
    assert answer.json()["outputs"][0]["data"] == (4 * ROWS).ravel().tolist()


def test_memory_that_was_unlinked_goes_on(octet: Octet, memory: Path) -> None:
    register(octet, "page", {"key": memory.name, "byte_size": SIZE})
    memory.unlink()
    answer = infer(octet, question(stretch("page", 16), **stretch("page", 16, 0)))
    assert answer.status_code == 200, answer.text
    answer = infer(octet, question(stretch("page", 16)))
    assert answer.json()["outputs"][0]["data"] == (4 * ROWS).ravel().tolist()


def test_memory_that_was_shortened_costs_its_client_an_error_and_nobody_else_the_server(
    octet: Octet, memory: Path
) -> None:
    register(octet, "page", {"key": memory.name, "byte_size": SIZE})
    os.truncate(memory, 8)
    answer = infer(octet, question(stretch("page", 16)))
    assert (answer.status_code, "was shortened and ends at byte 8" in answer.text) == (400, True)
    data = {"data": ROWS.ravel().tolist()}
    answer = infer(octet, question(data, **stretch("page", 16)))
    assert (answer.status_code, "its file has 8 bytes" in answer.text) == (400, True)
    assert memory.stat().st_size == 8
    assert infer(octet, question(data)).status_code == 200


def test_a_claim_of_any_size_takes_no_memory_here(octet: Octet, memory: Path) -> None:
    """A file without pages may be a terabyte, and rows of it are as long as the client says."""
    os.truncate(memory, 1 << 40)
    assert register(octet, "huge", {"key": memory.name, "byte_size": 1 << 40}).status_code == 200
    body = question(stretch("huge", 1 << 40))
    body["inputs"][0]["shape"] = [1 << 37, 2]
    answer = infer(octet, body)
    assert answer.status_code == 413, answer.text
    assert "are over the limit of 262144" in answer.json()["error"]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (stretch("page", 16, SIZE - 15), 400),
        (stretch("page", 16, 2**64), 400),
        (stretch("page", 16, 2**63), 400),
        (stretch("page", 16, -1), 400),
        (stretch("page", 15), 400),
        (stretch("page", True), 400),
        (stretch("page", 16.0), 400),  # type: ignore[arg-type]
        (stretch("page", 16) | {"data": [1, 2, 3, 4]}, 400),
        ({"parameters": {"shared_memory_region": "page"}}, 400),
        ({"parameters": {"shared_memory_region": 5, "shared_memory_byte_size": 16}}, 400),
        (stretch("other", 16), 404),
        (stretch("o" * 100_000, 16), 404),
    ],
    ids=range(12),
)
def test_an_input_outside_of_its_region(octet: Octet, memory: Path, source: dict[str, Any], code: int) -> None:
    register(octet, "page", {"key": memory.name, "byte_size": SIZE})
    answer = infer(octet, question(source))
    assert answer.status_code == code, answer.text
    assert len(answer.json()["error"]) < 500


@pytest.mark.parametrize(
    ("target", "code"),
    [
        (stretch("page", 15), 400),
        (stretch("page", 16, SIZE - 15), 400),
        (stretch("page", 64, SIZE), 400),
        (stretch("page", 16, 2**63), 400),
        (stretch("other", 16), 404),
    ],
)
def test_an_output_outside_of_its_region(octet: Octet, memory: Path, target: dict[str, Any], code: int) -> None:
    register(octet, "page", {"key": memory.name, "byte_size": SIZE})
    before = memory.read_bytes()
    answer = infer(octet, question({"data": ROWS.ravel().tolist()}, **target))
    assert answer.status_code == code, answer.text
    assert memory.read_bytes() == before


def test_a_region_that_goes_while_its_request_runs(octet: Octet, memory: Path) -> None:
    """The input was copied, so the run goes on; what should be written there is refused."""
    register(octet, "page", {"key": memory.name, "byte_size": SIZE})
    memory.write_bytes(np.array([1500]).tobytes().ljust(SIZE, b"\0"))
    body: dict[str, Any] = {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", **stretch("page", 8)}]}
    there = body | {"outputs": [{"name": "y", **stretch("page", 8, 64)}]}
    with octet.connect() as reading, octet.connect() as writing:
        reading.send(request(body, "/v2/models/slow/infer"))
        writing.send(request(there, "/v2/models/slow/infer"))
        with octet.connect() as other:
            alive(other)
        assert unregister(octet).status_code == 200
        assert open_memory(octet.process.pid) == []
        answer = reading.answer()
        assert (answer.status, answer.json()["outputs"][0]["data"]) == (200, [1500])
        assert writing.answer().status == 404
    assert memory.read_bytes()[64:72] == bytes(8)


def test_a_packed_request_may_point_at_memory(octet: Octet, memory: Path) -> None:
    register(octet, "page", {"key": memory.name, "byte_size": SIZE})
    packed = gzip.compress(json.dumps(question(stretch("page", 16))).encode())
    answer = octet.client.post("/v2/models/double/infer", content=packed, headers={"content-encoding": "gzip"})
    assert answer.json()["outputs"][0]["data"] == (2 * ROWS).ravel().tolist()


def test_clients_come_and_go_and_leave_no_file_open(octet: Octet, memory: Path) -> None:
    files = Path(f"/proc/{octet.process.pid}/fd")
    infer(octet, question({"data": [1, 2, 3, 4]}))
    before = len(list(files.iterdir()))
    for number in range(100):
        name = f"r{number % 3}"
        register(octet, name, {"key": memory.name, "byte_size": SIZE})
        register(octet, name, {"key": memory.name, "byte_size": SIZE})
        register(octet, "none", {"key": memory.name, "byte_size": SIZE + 1})
        infer(octet, question(stretch(name, 16), **stretch(name, 16, 64)))
        infer(octet, question(stretch(name, 16, SIZE)))
        unregister(octet, name)
    assert open_memory(octet.process.pid) == []
    assert len(list(files.iterdir())) <= before


def test_the_server_metadata_names_it_where_it_is_on(octet: Octet, server: Octet) -> None:
    assert "system_shared_memory" in octet.get("/v2").json()["extensions"]
    assert "system_shared_memory" not in server.get("/v2").json()["extensions"]
