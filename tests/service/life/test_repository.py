"""Triton's model repository on a real server: its index, models that are unloaded, and loaded again."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import graphs
from tests.service.conftest import Publish, Start, blob_of, corrupt, put_refused
from tests.service.networks import slow
from tests.service.process import Octet, eventually

# Nothing happens but what the tests ask for.
BLIND = ("--refresh-seconds", "3600")
ZEROS = {"instances": [[0, 0]]}


def index(server: Octet, body: object = None) -> dict[tuple[str, str | None], tuple[str, str]]:
    """(model, version) -> (state, reason)."""
    answer = server.client.post("/v2/repository/index", json=body)
    assert answer.status_code == 200, answer.text
    return {(one["name"], one.get("version")): (one["state"], one["reason"]) for one in answer.json()}


def ask(server: Octet, verb: str, model: str, body: object = None) -> httpx.Response:
    return server.client.post(f"/v2/repository/models/{model}/{verb}", json=body)


def done(answer: httpx.Response) -> bool:
    """Whether the load or unload is answered as Triton's clients expect it."""
    return (answer.status_code, answer.content) == (200, b"")


def error(answer: httpx.Response) -> tuple[int, str]:
    assert list(answer.json()) == ["error"]
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, answer.json()["error"]


def test_the_index_tells_every_version_and_why_it_cannot_answer(tmp_path: Path, publish: Publish, start: Start) -> None:
    publish("Rows", "1.0.0", graphs.adding(1))
    store = publish("Rows", "1.10.0", graphs.adding(2))
    publish("Rows", "2.0.0", graphs.adding(3))
    store.retire("Rows", "2.0.0")
    put_refused(store, "broken", "1.0.0", tmp_path)
    server = start("--model", "rows", "--model", "broken", "--model", "Later", *BLIND)
    found = index(server)
    assert list(found) == [("Later", None), ("Rows", "1.0.0"), ("Rows", "1.10.0"), ("broken", "1.0.0")]
    assert found["Rows", "1.10.0"] == ("READY", "")
    assert found["Later", None] == ("UNAVAILABLE", "not in the store yet")
    assert found["broken", "1.0.0"][0] == "UNAVAILABLE"
    assert "ONNX Runtime" in found["broken", "1.0.0"][1]
    assert index(server, {"ready": False}) == index(server, {}) == found
    assert list(index(server, {"ready": True})) == [("Rows", "1.0.0"), ("Rows", "1.10.0")]


def test_an_unloaded_model_is_gone_from_every_page_until_it_is_loaded(publish: Publish, start: Start) -> None:
    publish("M", "1.0.0", graphs.adding(1), "stable")
    publish("other", "1.0.0", graphs.adding(2))
    server = start(*BLIND)
    loaded = 'octet_model_load_duration_seconds{model="M"'
    assert server.sample(loaded)
    assert done(ask(server, "unload", "m", {"parameters": {"unload_dependents": False}}))
    assert index(server)["M", "1.0.0"] == ("UNAVAILABLE", "unloaded on request")
    told = "model 'M' was unloaded: POST /v2/repository/models/M/load loads it"
    for path in ("m", "m/versions/1.0.0", "m/labels/stable"):
        assert error(server.predict(path, ZEROS)) == (404, told)
    for path in ("", "/versions/1", "/config", "/stats"):
        assert error(server.get(f"/v2/models/m{path}")) == (404, told)
    for path in ("/ready", "/versions/1.0.0/ready"):
        assert error(server.get(f"/v2/models/m{path}")) == (400, told)
    assert [one["name"] for one in server.get("/v2/models/stats").json()["model_stats"]] == ["other"]
    status = server.status("m", "1.0.0")
    assert (status["state"], status["status"]["error_code"], status["labels"]) == ("END", "OK", [])
    assert server.get("/v2/health/ready").status_code == 200, "the server does what it was asked to do"
    assert server.get("/healthz/ready").json() == {"ready": True, "draining": False, "models": {"other": True}}
    assert server.get("/v1/models").json() == server.get("/v2/models").json() == {"models": ["other"]}
    assert not server.sample(loaded), "its memory is freed"
    assert server.version_at("other") == "1.0.0"

    assert done(ask(server, "unload", "M")), "once more is no error"
    assert done(ask(server, "load", "m", {}))
    assert index(server)["M", "1.0.0"] == ("READY", "")
    assert (server.version_at("m"), server.version_at("m/labels/stable")) == ("1.0.0", "1.0.0")
    assert server.get("/v2/models/m/ready").json() == {"name": "M", "ready": True}
    assert done(ask(server, "load", "m")), "once more is no error"
    server.stop()


def test_what_the_store_does_meanwhile_waits_for_the_load(publish: Publish, start: Start) -> None:
    publish("m", "1.0.0", graphs.adding(1), "stable")
    store = publish("m", "1.1.0", graphs.adding(2))
    server = start(*BLIND)
    assert done(ask(server, "unload", "m"))
    publish("m", "2.0.0", graphs.adding(3), "stable")
    store.retire("m", "1.1.0")
    server.refresh()
    unloaded = ("UNAVAILABLE", "unloaded on request")
    assert index(server) == {("m", "1.0.0"): unloaded, ("m", "2.0.0"): unloaded}
    assert server.predict("m", ZEROS).status_code == 404
    assert done(ask(server, "load", "m"))
    assert index(server) == {("m", "1.0.0"): ("READY", ""), ("m", "2.0.0"): ("READY", "")}
    assert (server.version_at("m"), server.version_at("m/labels/stable")) == ("2.0.0", "2.0.0")


def test_a_load_looks_at_the_store_and_a_restart_forgets_unloads(publish: Publish, start: Start) -> None:
    publish("m", "1.0.0", graphs.adding(1))
    server = start(*BLIND)
    publish("new", "1.0.0", graphs.adding(2))
    assert done(ask(server, "load", "new"))
    assert server.version_at("new") == "1.0.0"
    assert done(ask(server, "unload", "m"))
    server.stop()
    assert start(*BLIND).version_at("m") == "1.0.0"


def test_names_that_nobody_knows(publish: Publish, start: Start) -> None:
    publish("m", "1.0.0", graphs.adding(1))
    server = start("--model", "m", "--model", "later", "--model", "nobody", *BLIND)
    assert done(ask(server, "unload", "unknown"))
    assert done(ask(server, "unload", "later"))
    assert error(ask(server, "load", "unknown")) == (404, "no model 'unknown' is served here; served: m, nobody")
    status, told = error(ask(server, "load", "nobody"))
    assert (status, "not in the store yet" in told) == (503, True)
    publish("later", "1.0.0", graphs.adding(1))
    server.refresh()
    assert server.predict("later", ZEROS).status_code == 404, "it was asked for by name, and unloaded before it came"
    assert done(ask(server, "load", "later"))
    assert server.version_at("later") == "1.0.0"


def test_a_name_that_was_unloaded_before_anybody_knew_it_is_served_when_it_comes(
    publish: Publish, start: Start
) -> None:
    server = start(*BLIND)
    assert done(ask(server, "unload", "m"))
    publish("m", "1.0.0", graphs.adding(1))
    server.refresh()
    assert server.version_at("m") == "1.0.0"


def test_a_load_that_fails_says_why_and_is_tried_again_when_it_is_asked_for(
    store_folder: Path, publish: Publish, start: Start
) -> None:
    publish("m", "1.0.0", graphs.adding(1))
    store = publish("m", "1.1.0", graphs.adding(2))
    blob = blob_of(store, store_folder, "m", "1.1.0")
    sound = corrupt(blob)
    server = start(*BLIND)
    status, told = error(ask(server, "load", "m"))
    assert (status, "model 'm' version 1.1.0 could not be loaded" in told, blob.name in told) == (500, True, True)
    assert server.version_at("m") == "1.0.0", "the one before goes on"
    assert server.sample('octet_model_load_failures_total{model="m",version="1.1.0"}') == 2
    blob.write_bytes(sound)
    assert done(ask(server, "load", "m"))
    assert server.version_at("m") == "1.1.0"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("index", b"{", 400),
        ("index", b"[]", 400),
        ("index", b'{"ready": 1}', 400),
        ("models/m/load", b'"m"', 400),
        ("models/m/load", b'{"parameters": []}', 400),
        ("models/m/load", b'{"parameters": {"precision": "int8"}}', 400),
        ("models/m/load", b'{"parameters": {"config": "{}"}}', 501),
        ("models/m/load", b'{"parameters": {"file:1/model.onnx": "AAAA"}}', 501),
        ("models/m/load", b'{"parameters": {"file:1/model.onnx": "%b"}}' % (b"A" * 100_000), 501),
        ("models/m/load", b"[" * 100_000, 501),
        ("models/m/unload", b'{"parameters": {"unload_dependents": "yes"}}', 400),
        ("models/m/unload", b'{"parameters": {"at_once": true}}', 400),
        ("models/m/reload", b"", 404),
    ],
)
def test_what_cannot_be_asked(path: str, body: bytes, status: int, server: Octet) -> None:
    answer = server.client.post(f"/v2/repository/{path}", content=body)
    assert error(answer)[0] == status, answer.text
    assert server.get("/v2/repository/index").status_code == 405


async def test_an_unload_finishes_what_it_has(publish: Publish, start: Start) -> None:
    publish("m", "1.0.0", slow())
    server = start("--max-batch-rows", "1", *BLIND)
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        running = [
            asyncio.create_task(client.post("/v1/models/m:predict", json={"instances": [300]})) for _ in range(4)
        ]
        waiting = 'octet_pending_rows{model="m",variant="fp32",version="1.0.0"}'
        await asyncio.to_thread(eventually, lambda: server.sample(waiting) == 3, "one runs and three wait")
        unloading = asyncio.create_task(client.post("/v2/repository/models/m/unload"))
        await asyncio.to_thread(
            eventually, lambda: index(server)["m", "1.0.0"][0] == "UNLOADING", "the model is on its way out"
        )
        assert (await client.post("/v1/models/m:predict", json={"instances": [0]})).status_code == 404
        loading = asyncio.create_task(client.post("/v2/repository/models/m/load"))
        answers = await asyncio.gather(*running)
        assert done(await unloading)
        assert done(await loading), "wanted again while it went"
        assert (await client.post("/v1/models/m:predict", json={"instances": [0]})).status_code == 200
    assert [(answer.status_code, answer.text) for answer in answers] == [(200, '{"predictions":[300]}')] * 4


async def test_whoever_asks_last_is_right(publish: Publish, start: Start) -> None:
    """Loads, unloads, refreshes and requests at once: each is answered, and none with more than what it asked for."""
    publish("m", "1.0.0", graphs.adding(1))
    store = publish("m", "1.1.0", graphs.adding(2))
    server = start("--refresh-seconds", "0.01")
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:

        async def post(path: str, body: Any = None) -> tuple[str, int]:
            answer = await client.post(path, json=body)
            return path.rpartition("/")[2], answer.status_code

        for turn in range(6):
            verbs = [f"/v2/repository/models/m/{verb}" for verb in ("unload", "load", "unload", "load", "unload")]
            asked = [post(path) for path in [*verbs, "/v1/store:refresh"][turn % 2 :]]
            asked += [post("/v1/models/m:predict", ZEROS) for _ in range(10)]
            store.label("m", "1.0.0" if turn % 2 else "1.1.0", "stable")
            found = set(await asyncio.gather(*asked))
            assert found <= {
                ("unload", 200), ("load", 200), ("load", 404), ("load", 503), ("store:refresh", 200),
                ("m:predict", 200), ("m:predict", 404), ("m:predict", 503),
            }  # fmt: skip
            assert ("unload", 200) in found
            assert await post("/v2/repository/models/m/unload") == ("unload", 200)
            assert await post("/v1/models/m:predict", ZEROS) == ("m:predict", 404)
            assert await post("/v2/repository/models/m/load") == ("load", 200)
            assert await post("/v1/models/m:predict", ZEROS) == ("m:predict", 200)
    server.stop()
