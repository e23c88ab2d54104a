"""Jobs that end before their time, and what is left then: nothing half, and a server that goes on."""

import os
import signal
from pathlib import Path

import pytest

from model_store.lock import exclusive
from model_store.store import Store
from tests.service.conftest import Start
from tests.service.jobs import (
    LAX,
    LONG,
    ONE_JOB_SECONDS,
    PATH,
    ROWS,
    ask,
    look,
    post,
    processes_of,
    until,
    until_at_work,
)
from tests.service.process import OCTET, eventually

# A job gets what others leave of the machine, and some tests run several.
pytestmark = pytest.mark.timeout(3 * ONE_JOB_SECONDS)
# No file may grow beyond 100 KiB, as if the disk were full then: enough for all but a variant.
SHORT_OF_DISK = ("bash", "-c", 'ulimit -f 100; exec "$0" "$@"', OCTET)


def test_one_whose_process_is_killed_says_so_and_the_next_one_runs(start_digits: Start, store_folder: Path) -> None:
    server = start_digits()
    ask(server, LONG)
    ask(server, LONG)
    until_at_work(server, 1)
    for process in processes_of(store_folder):
        os.kill(process, signal.SIGKILL)
    assert "was killed (SIGKILL), as the system does when memory runs out" in until(server, 1, "failed")["error"]
    until_at_work(server, 2)
    server.stop()


def test_one_that_finds_the_disk_full_says_so_and_leaves_nothing(start_digits: Start, store_folder: Path) -> None:
    server = start_digits(command=SHORT_OF_DISK)
    ask(server, {**ROWS, "imports": {"mine": "digits.onnx"}})
    failed = until(server, 1, "failed")
    assert "mine was not made: [Errno 27] File too large" in failed["error"]
    ask(server, LAX)
    assert "File too large" in until(server, 2, "done")["result"][0]["why_not"]
    assert not list((store_folder / "jobs").iterdir())
    assert server.get("/healthz/ready").status_code == 200
    server.stop()
    with Store.open(store_folder) as store:
        assert [variant.name for variant in store.resolve("digits").variants] == ["fp32"]
        assert store.gc().leftovers == 0
        assert store.verify().findings == ()


def test_one_whose_variant_cannot_be_stored_says_so_and_can_be_retried(start_digits: Start, store_folder: Path) -> None:
    server = start_digits()
    blobs = store_folder / "blobs" / "sha256"
    with exclusive(store_folder / "lock", "the test", 0):
        ask(server, LAX)
        eventually(lambda: list((store_folder / "tmp").iterdir()), "its files are staged, and wait for the lock", 100)
        blobs.rename(blobs.with_name("away"))
    assert f"cannot write {blobs}" in until(server, 1, "failed")["error"]
    blobs.with_name("away").rename(blobs)
    assert post(server, 1, "retry")[0] == 202
    until(server, 1, "done")
    server.stop()
    with Store.open(store_folder) as store:
        assert [variant.name for variant in store.resolve("digits").variants] == ["fp32", "int8"]


def test_one_whose_version_is_retired_meanwhile_says_so(start_digits: Start, store_folder: Path) -> None:
    server = start_digits()
    ask(server, LAX)
    until_at_work(server, 1)
    with Store.open(store_folder) as store:
        store.retire("digits", "1.0.0")
        assert "digits" in until(server, 1, "failed")["error"]
        assert post(server, 1, "retry")[0] == 202
        assert "retired" in until(server, 1, "failed")["error"]
        store.gc()
        assert store.verify().findings == ()
    server.stop()


def test_one_that_is_cancelled_while_it_stores_leaves_nothing_half(start_digits: Start, store_folder: Path) -> None:
    server = start_digits()
    with exclusive(store_folder / "lock", "the test", 0):
        ask(server, LAX)
        eventually(lambda: list((store_folder / "tmp").iterdir()), "its files are staged, and wait for the lock", 100)
        assert post(server, 1, "cancel")[1]["state"] == "cancelled"
    assert processes_of(store_folder) == []
    with Store.open(store_folder) as store:
        assert [variant.name for variant in store.resolve("digits").variants] == ["fp32"]
        assert store.gc().leftovers > 0
        assert store.verify().findings == ()
    assert post(server, 1, "retry")[0] == 202
    until(server, 1, "done")
    server.stop()
    with Store.open(store_folder) as store:
        assert [variant.name for variant in store.resolve("digits").variants] == ["fp32", "int8"]


def test_only_so_many_wait(start_digits: Start) -> None:
    server = start_digits()
    ask(server, LONG)
    eventually(lambda: look(server, 1)["state"] == "running", "the first one runs")
    for _ in range(100):
        ask(server, ROWS)
    answer = server.client.post(PATH, json=ROWS)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert "100 jobs wait already" in answer.json()["error"]
    assert post(server, 50, "cancel")[0] == 200
    ask(server, ROWS)
    assert post(server, 50, "retry")[0] == 503
    server.stop()
