"""A version that cannot be loaded harms nobody but itself, and everybody is told."""

import shutil
from pathlib import Path

from model_store.store import Store
from tests import graphs
from tests.service.conftest import Publish, Start, blob_of, corrupt, put_refused
from tests.service.process import eventually


def test_a_corrupt_version_leaves_the_old_one_serving_until_it_is_mended(
    store_folder: Path, publish: Publish, start: Start
) -> None:
    publish("m", "1.0.0", graphs.adding(1), "stable")
    server = start("--refresh-seconds", "3600")
    store = publish("m", "1.1.0", graphs.adding(2), "stable")
    blob = blob_of(store, store_folder, "m", "1.1.0")
    sound = corrupt(blob)
    server.refresh()

    assert (server.version_at("m"), server.version_at("m/labels/stable")) == ("1.0.0", "1.0.0")
    status = server.status("m", "1.1.0")
    assert (status["state"], status["status"]["error_code"]) == ("END", "INTERNAL")
    assert blob.name in status["status"]["error_message"]
    assert server.status("m", "1.0.0")["labels"] == ["stable"]
    of_version = server.get("/v1/models/m/versions/1.1.0")
    assert of_version.status_code == 200
    assert [one["state"] for one in of_version.json()["model_version_status"]] == ["END"]
    asked = server.predict("m/versions/1.1.0", {"instances": [[0, 0]]})
    assert (asked.status_code, blob.name in asked.json()["error"]) == (404, True)
    assert server.get("/healthz/ready").status_code == 200
    assert server.sample('octet_model_load_failures_total{model="m",version="1.1.0"}') == 1
    (line,) = server.log("version cannot be loaded")
    assert (line["level"], line["model"], line["version"]) == ("error", "m", "1.1.0")
    assert blob.name in line["error"]

    server.refresh()
    assert server.sample('octet_model_load_failures_total{model="m",version="1.1.0"}') == 2, "a refresh tries again"
    store.retire("m", "1.0.0")
    server.refresh()
    assert server.version_at("m") == "1.0.0", "it stays as long as nothing can take its place"
    blob.write_bytes(sound)
    server.refresh()
    assert (server.version_at("m"), server.version_at("m/labels/stable")) == ("1.1.0", "1.1.0")
    assert server.status("m", "1.1.0")["status"] == {"error_code": "OK", "error_message": ""}
    assert server.rows("m", [[1, 2]]) == [[3, 4]]


def test_a_version_that_the_engine_refuses_says_so_in_the_greeting(
    tmp_path: Path, publish: Publish, start: Start
) -> None:
    put_refused(publish("m", "1.0.0", graphs.adding(1)), "m", "2.0.0", tmp_path)
    server = start()
    (greeted,) = [line for line in server.greeting.splitlines() if "2.0.0" in line]
    assert "cannot be loaded: ONNX Runtime cannot load the model" in greeted
    assert server.version_at("m") == "1.0.0"
    assert server.sample('octet_model_load_failures_total{model="m",version="2.0.0"}') == 1
    assert len(server.log("version cannot be loaded")) == 1
    assert "ONNX Runtime" in server.status("m", "2.0.0")["status"]["error_message"]


def test_a_model_of_which_nothing_can_be_loaded_is_not_ready(
    store_folder: Path, publish: Publish, start: Start
) -> None:
    store = publish("m", "1.0.0", graphs.adding(1))
    publish("sound", "1.0.0", graphs.adding(2))
    blob = blob_of(store, store_folder, "m", "1.0.0")
    corrupt(blob)
    server = start("--refresh-seconds", "3600")
    asked = server.predict("m", {"instances": [[0, 0]]})
    assert (asked.status_code, asked.headers["retry-after"]) == (503, "1")
    assert blob.name in asked.json()["error"]
    assert server.version_at("sound") == "1.0.0"
    ready = server.get("/healthz/ready")
    assert ready.status_code == 503
    assert ready.json() == {"ready": False, "draining": False, "models": {"m": False, "sound": True}}
    assert server.get("/healthz/live").status_code == 200
    status = server.get("/v1/models/m")
    assert (status.status_code, status.json()["ready"]) == (503, False)

    publish("m", "1.0.1", graphs.adding(3))
    server.refresh()
    assert server.version_at("m") == "1.0.1"
    assert server.get("/healthz/ready").status_code == 200


def test_a_model_that_is_awaited_makes_the_server_ready_when_it_comes(publish: Publish, start: Start) -> None:
    publish("unasked", "1.0.0", graphs.adding(1))
    server = start("--model", "Later", "--refresh-seconds", "0.05")
    assert "Later is not in the store yet" in server.greeting
    ready = server.get("/healthz/ready")
    assert (ready.status_code, ready.json()["models"]) == (503, {"Later": False})
    asked = server.predict("later", {"instances": [[0, 0]]})
    assert (asked.status_code, asked.headers["retry-after"]) == (503, "1")
    assert asked.json() == {"error": "model 'Later' is not in the store yet: publish it, and it will be served"}
    assert server.predict("unasked", {"instances": [[0, 0]]}).status_code == 404

    publish("Later", "1.0.0", graphs.adding(2))
    eventually(lambda: server.get("/healthz/ready").status_code == 200, "the server is ready")
    assert server.version_at("later") == "1.0.0"


def test_an_empty_store_is_ready_and_serves_what_comes(publish: Publish, start: Start) -> None:
    server = start("--refresh-seconds", "3600")
    assert "octet model publish" in server.greeting
    assert server.get("/healthz/ready").json() == {"ready": True, "draining": False, "models": {}}
    asked = server.predict("m", {"instances": [[0, 0]]})
    assert asked.status_code == 404
    assert asked.json() == {"error": "no model 'm' is served here; served: none"}
    publish("m", "1.0.0", graphs.adding(1))
    server.refresh()
    assert server.version_at("m") == "1.0.0"


def test_a_store_that_is_gone_stops_nothing(tmp_path: Path, store_folder: Path, publish: Publish, start: Start) -> None:
    publish("m", "1.0.0", graphs.adding(1))
    server = start("--refresh-seconds", "0.05")
    away = store_folder.rename(tmp_path / "away")
    eventually(lambda: server.sample("octet_store_failures_total") >= 2, "two looks failed")
    line = server.log("the store cannot be read; what is loaded goes on serving")[0]
    assert (line["level"], "catalogue" in line["error"]) == ("warning", True)
    assert server.version_at("m") == "1.0.0"
    assert server.get("/healthz/ready").status_code == 200

    shutil.copytree(away, store_folder)
    with Store.open(store_folder) as store:
        store.label("m", "1.0.0", "stable")
    eventually(lambda: server.predict("m/labels/stable", {"instances": [[0, 0]]}).status_code == 200, "it is back")
    server.stop()
