"""V2's pages about the server and its models on a real server, and what is no page of it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests import graphs
from tests.service.conftest import store_at
from tests.service.networks import pair
from tests.service.process import Octet
from tests.service.wire import masked, request

V2_ROWS = {"inputs": [{"name": "x", "shape": [3, 2], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}]}


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Octet]:
    """Two releases of `Digits` and a pre-release; `pair`."""
    folder = tmp_path_factory.mktemp("v2")
    with store_at(folder / "store") as publish:
        for bias, version in enumerate(("1.2.0", "1.10.0", "2.0.0-rc.1")):
            publish("Digits", version, graphs.adding(bias))
        publish("pair", "1.0.0", pair())
    with Octet(folder, folder / "store", "--max-batch-rows", "16") as octet:
        yield octet
        octet.stop()


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_server(path: str, versions: Octet) -> None:
    document = versions.get(path).json()
    assert list(document) == ["name", "version", "extensions"]
    assert (document["name"], document["version"]) == ("octet", versions.get("/openapi.json").json()["info"]["version"])
    assert "statistics" in document["extensions"]
    assert "system_shared_memory" not in document["extensions"]


def test_health(versions: Octet) -> None:
    assert versions.get("/v2/health/live").json() == {"live": True}
    assert versions.get("/v2/health/ready").json() == {"live": True, "ready": True}


def test_the_list_of_models(versions: Octet) -> None:
    assert versions.get("/v2/models").json() == {"models": ["Digits", "pair"]}


@pytest.mark.parametrize(
    "path", ["/v2/models/digits", "/v2/models/DIGITS/versions/1", "/v2/models/digits/versions/1.2.0"]
)
def test_the_metadata_of_a_model(path: str, versions: Octet) -> None:
    tensor = {"datatype": "FP32", "shape": [-1, 2]}
    assert versions.get(path).json() == {
        "name": "Digits",
        "versions": ["1.2.0", "1.10.0", "2.0.0-rc.1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", **tensor}],
        "outputs": [{"name": "y", **tensor}],
        "parameters": {"variant": "fp32"},
    }
    assert versions.get(f"{path}/ready").json() == {"name": "Digits", "ready": True}


def test_the_configuration_of_a_model(versions: Octet) -> None:
    config = versions.get("/v2/models/digits/versions/1/config").json()
    assert (config["name"], config["backend"], config["max_batch_size"]) == ("Digits", "onnxruntime", 1024)
    assert config == versions.get("/v2/models/digits/config").json()
    config = versions.get("/v2/models/pair/config").json()
    assert (config["max_batch_size"], config["input"][1]) == (0, {"name": "b", "data_type": "TYPE_INT64", "dims": [-1]})


def stats(octet: Octet, path: str) -> list[dict[str, Any]]:
    answer = octet.get(f"/v2/models/{path}stats")
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["model_stats"]
    found: list[dict[str, Any]] = answer.json()["model_stats"]
    return found


def test_statistics_of_all_of_one_and_of_a_version(versions: Octet) -> None:
    def named(path: str) -> list[tuple[str, str]]:
        return [(one["name"], one["version"]) for one in stats(versions, path)]

    of_digits = [("Digits", version) for version in ("1.2.0", "1.10.0", "2.0.0-rc.1")]
    assert named("digits/") == of_digits
    assert set(named("")) == {*of_digits, ("pair", "1.0.0")}
    assert named("digits/versions/1.10.0/") == [("Digits", "1.10.0")]
    assert named("digits/versions/1/") == [("Digits", "1")], "the name that was asked for"


def test_every_request_is_counted_once_whatever_its_protocol(door: Octet) -> None:
    def counts() -> dict[str, int]:
        (of_double,) = stats(door, "double/")
        durations = of_double.pop("inference_stats")
        assert durations["success"]["ns"] >= sum(
            durations[part]["ns"] for part in ("queue", "compute_input", "compute_infer", "compute_output")
        )
        batches = of_double.pop("batch_stats")
        assert of_double["execution_count"] == sum(one["compute_infer"]["count"] for one in batches)
        return {
            **{name: of["count"] for name, of in durations.items()},
            **{name: of_double[name] for name in ("inference_count", "execution_count", "last_inference")},
            "rows": sum(one["batch_size"] * one["compute_infer"]["count"] for one in batches),
        }

    before = counts()
    for _ in range(3):
        assert door.client.post("/v2/models/double/infer", json=V2_ROWS).status_code == 200
        assert len(door.rows("double", [[1, 2]] * 2)) == 2
    assert door.client.post("/v2/models/double/infer", json={"inputs": []}).status_code == 400
    assert door.predict("double", {}).status_code == 400
    assert door.predict("nobody", {}).status_code == 404
    assert door.rows("double/versions/1.2.3", [[0, 0]] * 40)
    after = counts()
    last = after.pop("last_inference")
    assert last > 0
    assert last >= before.pop("last_inference")
    assert {name: count - before[name] for name, count in after.items()} == {
        "success": 7, "fail": 2, "queue": 7, "compute_input": 7, "compute_infer": 7, "compute_output": 7,
        "cache_hit": 0, "cache_miss": 0, "inference_count": 55, "execution_count": 9, "rows": 55,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/nobody", 404),
        ("/v2/models/nobody/ready", 404),
        ("/v2/models/nobody/config", 404),
        ("/v2/models/nobody/stats", 404),
        ("/v2/models/digits/versions/9", 404),
        ("/v2/models/digits/versions/9/ready", 404),
        ("/v2/models/digits/versions/2/config", 404),
        ("/v2/models/digits/versions/9/stats", 404),
        ("/v2/models/digits/labels/stable", 404),
        ("/v2/models/digits/nothing", 404),
        ("/v2/models/digits/", 404),
        ("/v2/nothing", 404),
        ("/v2/health", 404),
        ("/v2/models/digits/infer", 405),
        ("/v2/models/digits/versions/1/infer", 405),
        ("/v2/repository/index", 405),
    ],
)
def test_what_is_not_there_is_refused_in_one_shape(path: str, status: int, versions: Octet) -> None:
    answer = versions.get(path)
    assert (answer.status_code, list(answer.json())) == (status, ["error"]), answer.text
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/healthz/ready",
        "/v2",
        "/v2/health/live",
        "/v2/models/double/ready",
        "/v2/models/none/ready",
        "/openapi.json",
    ],
)
def test_head_is_get_without_a_body(path: str, door: Octet) -> None:
    with door.connect() as wire:
        head = wire.send(request(b"", path, method="HEAD")).answer("HEAD")
        assert masked(head.head) == masked(wire.ask(request(b"", path, method="GET")).head)


@pytest.mark.parametrize("path", ["", "/", "/health/live", "/models", "/models/digits", "/models/digits/ready"])
def test_what_is_only_read_cannot_be_posted_to(path: str, versions: Octet) -> None:
    answer = versions.client.post(f"/v2{path}", json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert answer.json() == {"error": f"Method Not Allowed: POST /v2{path}"}
