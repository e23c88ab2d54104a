"""A server follows its store: new versions, moved labels, retirements, while requests are running."""

import asyncio
import subprocess
from pathlib import Path

import httpx
from semver import Version

from tests import graphs
from tests.service.conftest import Publish, Start
from tests.service.networks import slow
from tests.service.process import OCTET, eventually

# The longest that a change of the store may take to be served, with the load of the version on top.
NOTICED_SECONDS = 2.0


def version_of(answer: httpx.Response) -> str:
    return answer.headers["octet-model-version"]


def test_a_version_published_by_another_process_is_served_within_two_seconds(
    tmp_path: Path, store_folder: Path, publish: Publish, start: Start
) -> None:
    publish("m", "1.0.0", graphs.adding(1))
    server = start()
    assert server.rows("m", [[1, 2]]) == [[2, 3]]

    two = graphs.save(graphs.adding(2), tmp_path / "two.onnx")
    command = [OCTET, "model", "publish", "m", str(two), "--version", "1.1.0"]
    subprocess.run([*command, "--store", str(store_folder)], check=True, capture_output=True, timeout=60)
    eventually(lambda: server.version_at("m") == "1.1.0", "1.1.0 answers", NOTICED_SECONDS)
    assert server.rows("m", [[1, 2]]) == [[3, 4]]
    assert server.rows("m/versions/1.0.0", [[1, 2]]) == [[2, 3]]


def test_a_refresh_is_answered_when_all_is_loaded(publish: Publish, start: Start) -> None:
    publish("m", "1.0.0", graphs.adding(1))
    server = start("--refresh-seconds", "3600")
    store = publish("m", "2.0.0", graphs.adding(2))
    publish("other", "1.0.0", graphs.adding(3))
    store.label("m", "1.0.0", "stable")
    assert server.version_at("m") == "1.0.0"

    models = {model["name"]: model for model in server.refresh()["models"]}
    states = [(one["semver"], one["state"], one["labels"]) for one in models["m"]["model_version_status"]]
    assert states == [("2.0.0", "AVAILABLE", []), ("1.0.0", "AVAILABLE", ["stable"])]
    assert models["other"]["ready"]
    assert server.version_at("m") == "2.0.0"
    assert server.rows("other", [[1, 2]]) == [[4, 5]]

    store.label("m", "2.0.0", "stable")
    assert server.version_at("m/labels/stable") == "1.0.0", "nobody has looked yet"
    server.refresh()
    assert server.version_at("m/labels/stable") == "2.0.0"

    store.unlabel("m", "stable")
    server.refresh()
    gone = server.predict("m/labels/stable", {"instances": [[0, 0]]})
    assert (gone.status_code, "'stable'" in gone.json()["error"]) == (400, True)

    store.retire("m", "2.0.0")
    server.refresh()
    assert server.version_at("m") == "1.0.0"
    assert server.predict("m/versions/2.0.0", {"instances": [[0, 0]]}).status_code == 404


def test_a_prerelease_answers_only_when_it_is_named(publish: Publish, start: Start) -> None:
    publish("m", "1.0.0", graphs.adding(1))
    publish("m", "2.0.0-rc.1", graphs.adding(2), "canary")
    server = start()
    asked = {path: server.version_at(path) for path in ("m", "m/versions/2.0.0-rc.1", "m/labels/canary")}
    assert asked == {"m": "1.0.0", "m/versions/2.0.0-rc.1": "2.0.0-rc.1", "m/labels/canary": "2.0.0-rc.1"}
    assert server.predict("m/versions/2", {"instances": [[0, 0]]}).status_code == 404


async def test_a_retired_version_finishes_what_runs_on_it(publish: Publish, start: Start) -> None:
    store = publish("m", "1.0.0", slow())
    publish("m", "2.0.0", slow())
    server = start("--refresh-seconds", "3600", "--max-batch-rows", "1")
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        path = "/v1/models/m/versions/1.0.0:predict"
        running = [asyncio.create_task(client.post(path, json={"instances": [300]})) for _ in range(4)]
        waiting = 'octet_pending_rows{model="m",variant="fp32",version="1.0.0"}'
        await asyncio.to_thread(eventually, lambda: server.sample(waiting) == 3, "one runs and three wait")
        store.retire("m", "1.0.0")
        await client.post("/v1/store:refresh")
        after = await client.post(path, json={"instances": [0]})
        answers = await asyncio.gather(*running)
    assert after.status_code == 404
    assert [answer.status_code for answer in answers] == [200] * 4, [answer.text for answer in answers]
    assert {version_of(answer) for answer in answers} == {"1.0.0"}
    assert {str(answer.json()) for answer in answers} == {"{'predictions': [300]}"}


async def test_no_request_fails_while_versions_come_and_labels_move(publish: Publish, start: Start) -> None:
    """Each version adds another bias, so an answer tells which version made it."""
    biases = {"1.0.0": 1.0, "1.1.0": 2.0, "1.2.0": 3.0, "2.0.0": 4.0}
    store = publish("m", "1.0.0", graphs.adding(biases["1.0.0"]), "stable")
    server = start("--refresh-seconds", "0.05")
    seen: dict[str, list[list[str]]] = {"m": [], "m/labels/stable": []}
    done = asyncio.Event()

    async def ask(path: str, number: int) -> None:
        versions: list[str] = []
        seen[path].append(versions)
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            while not done.is_set():
                rows = [[number, len(versions)]] * (1 + len(versions) % 3)
                answer = await client.post(f"/v1/models/{path}:predict", json={"instances": rows})
                assert answer.status_code == 200, answer.text
                versions.append(version_of(answer))
                bias = biases[versions[-1]]
                assert answer.json() == {"predictions": [[a + bias, b + bias] for a, b in rows]}

    async def until(path: str, version: str) -> None:
        """Until every client of the path has got an answer of this version."""
        async with asyncio.timeout(20):
            while not all(versions and versions[-1] == version for versions in seen[path]):
                await asyncio.wait({clients}, timeout=0.01)
                assert not clients.done() or clients.result()

    clients = asyncio.gather(*(ask(path, number) for number in range(3) for path in seen))
    try:
        await until("m", "1.0.0")
        for version in ("1.1.0", "1.2.0", "2.0.0"):
            await asyncio.to_thread(publish, "m", version, graphs.adding(biases[version]))
            await until("m", version)
            await asyncio.to_thread(store.label, "m", version, "stable")
            await until("m/labels/stable", version)
        await asyncio.to_thread(store.label, "m", "1.0.0", "stable")
        await until("m/labels/stable", "1.0.0")
        for version in ("1.1.0", "1.2.0"):
            await asyncio.to_thread(store.retire, "m", version)
        await asyncio.to_thread(eventually, lambda: len(server.log("version is unloaded")) == 2, "both are unloaded")
    finally:
        done.set()
        await clients
    for versions in seen["m"]:
        assert versions == sorted(versions, key=Version.parse), "an unversioned request never goes back"
    assert server.sample('octet_requests_total{code="200",model="m",variant="fp32",version="2.0.0"}') > 0
    assert not [line for line in server.log() if line["level"] in ("warning", "error")]
