"""How many workers of how many threads: as set, else as measured once on this machine."""

import json
from pathlib import Path

import pytest

from app.control import bring_up
from app.control.bring_up import TuningMemory
from engines.machine import fingerprint, usable_cores
from tests import graphs
from tests.service.conftest import Publish, Start
from tests.service.process import Octet


def split_of(server: Octet, model: str) -> tuple[int, int]:
    status = server.status(model, "1.0.0")
    return status["instances"], status["threads"]


def test_flags_and_tables_set_instances_and_threads(tmp_path: Path, publish: Publish, start: Start) -> None:
    """The model's own table wins over the flags, which hold for all models; half a setting leaves the rest as it is."""
    for name in ("plain", "Own", "half"):
        publish(name, "1.0.0", graphs.adding(1))
    settings = tmp_path / "octet.toml"
    settings.write_text(
        "[models.own]\ninstances = 1\nthreads = 2\nmax_batch_rows = 4\n[models.half]\nthreads = 1\n", "utf-8"
    )
    server = start("--config", str(settings), split=(3, 2))
    assert {name: split_of(server, name) for name in ("plain", "own", "half")} == {
        "plain": (3, 2),
        "own": (1, 2),
        "half": (3, 1),
    }
    (own,) = server.get("/v1/models/own").json()["model_version_status"]
    assert (own["max_batch_rows"], server.status("plain", "1.0.0")["max_batch_rows"]) == (4, 64)
    assert "Own 1.0.0: fp32 on onnxruntime" in server.greeting
    assert "instances x threads: 1 x 2" in server.greeting
    assert server.rows("own", [[1, 2]] * 9) == [[2, 3]] * 9


def test_what_was_measured_is_remembered_in_the_store(store_folder: Path, publish: Publish, start: Start) -> None:
    """The second server takes over a split that measuring would not find, so it cannot have measured."""
    store = publish("m", "1.0.0", graphs.adding(1))
    digest = store.resolve("m").variants[0].digest
    kept = store_folder / "cache" / "measured" / "tuning" / fingerprint() / "onnxruntime" / digest
    first = start(split=None)
    measured = json.loads(kept.read_bytes())
    assert split_of(first, "m") == (measured["split"]["instances"], measured["split"]["threads"])
    for one in measured["tried"]:
        assert one["split"]["instances"] * one["split"]["threads"] == usable_cores()
        assert one["runs_per_second"] > 0
        assert one["lone_seconds"] > 0
    first.stop()

    kept.write_text(json.dumps(measured | {"split": {"instances": 5, "threads": 1}}))
    written = kept.stat().st_mtime_ns
    second = start(split=None)
    assert split_of(second, "m") == (5, 1)
    assert kept.stat().st_mtime_ns == written
    second.stop()

    kept.write_bytes(b"from another version")
    assert split_of(start(split=None), "m")[0] <= usable_cores()
    assert json.loads(kept.read_bytes())["tried"]


def test_hosts_do_not_take_over_each_others_measurements(publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    store = publish("m", "1.0.0", graphs.adding(1))
    memory = TuningMemory(store, "onnxruntime", store.resolve("m").variants[0].digest)
    for host in ("aaaa", "bbbb"):
        monkeypatch.setattr(bring_up, "fingerprint", lambda host=host: host)
        assert memory.recall() is None
        memory.remember(host.encode())
        assert memory.recall() == host.encode()
    for other in (TuningMemory(store, "onnxruntime", "0" * 64), TuningMemory(store, "openvino", memory.digest)):
        assert other.recall() is None
    monkeypatch.setattr(bring_up, "fingerprint", lambda: "aaaa")
    assert memory.recall() == b"aaaa"
