"""How a server ends: politely at the first signal, within its bounds always, at once at the second."""

import json
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from engines.onnx_file import read_onnx
from model_store.manifest import Metadata
from model_store.records import NewVersion
from model_store.store import Store
from tests import graphs
from tests.service.conftest import Publish, Start
from tests.service.networks import slow
from tests.service.process import OCTET, alive, eventually
from tests.service.wire import PATIENCE_SECONDS, Wire, request

PATH = "/v1/models/m:predict"
BODY = json.dumps({"instances": [[1, 2]]}).encode()
# Matrix products that keep `slow` busy far longer than any test waits.
FOREVER = 10_000_000


@pytest.fixture
def published(publish: Publish) -> None:
    publish("m", "1.0.0", graphs.adding(1))
    publish("slow", "1.0.0", slow())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_finishes_what_is_in_flight(number: signal.Signals, published: None, start: Start) -> None:
    server = start()
    kept_alive, newcomer, watcher = alive(server.connect()), alive(server.connect()), alive(server.connect())
    assert kept_alive.ask(request(BODY, PATH)).status == 200
    uploading = alive(server.connect()).send(request(BODY[:5], PATH, length=len(BODY)))
    running = alive(server.connect()).send(request({"instances": [2000]}, "/v1/models/slow:predict"))
    alive(watcher)

    server.signal(number)
    eventually(lambda: server.log("draining"), "the drain has begun")
    assert server.log("draining")[0]["in_flight"] == 2
    ready = watcher.ask(request(path="/healthz/ready", method="GET"))
    assert (ready.status, ready.json()["draining"]) == (503, True)
    refused = kept_alive.ask(request(BODY, PATH))
    assert (refused.status, refused.headers["retry-after"], refused.headers["connection"]) == (503, "5", "close")
    assert "stopping" in refused.error
    assert kept_alive.rest() == b""
    first = newcomer.ask(request(BODY, PATH))
    assert (first.status, first.headers["connection"]) == (503, "close")

    uploaded = uploading.send(BODY[5:]).answer()
    assert (uploaded.status, uploaded.json()) == (200, {"predictions": [[2, 3]]})
    finished = running.answer()
    assert (finished.status, finished.json()) == (200, {"predictions": [2000]})
    assert server.exit_code() == 0
    assert [line["event"] for line in server.log()][-1] == "stopped"
    assert "Traceback" not in server.log_text
    for wire in (uploading, running, watcher):
        assert wire.rest() == b""


def test_an_idle_server_ends_at_once_with_its_idle_connections(published: None, start: Start) -> None:
    server = start("--drain-seconds", "3600")
    idle = alive(server.connect())
    assert idle.ask(request(BODY, PATH)).status == 200
    server.stop()
    assert idle.rest() == b""


def test_a_client_that_never_ends_its_request_is_waited_for_only_so_long(published: None, start: Start) -> None:
    server = start("--drain-seconds", "0.2")
    uploading = alive(server.connect()).send(request(BODY[:5], PATH, length=len(BODY)))
    alive(server.connect())
    server.stop()
    assert server.log("draining")[0]["in_flight"] == 1
    uploading.rest()


def test_a_run_that_never_ends_is_left_behind(published: None, start: Start) -> None:
    """Its request is answered, its thread goes down with the process."""
    server = start("--drain-seconds", "0.2")
    running = alive(server.connect()).send(request({"instances": [FOREVER]}, "/v1/models/slow:predict"))
    alive(server.connect())
    server.stop()
    (late,) = server.log("drain took too long")
    assert (late["level"], late["model"], late["version"]) == ("warning", "slow", "1.0.0")
    assert "Traceback" not in server.log_text
    running.rest()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_ends_it_at_once(number: signal.Signals, published: None, start: Start) -> None:
    server = start("--drain-seconds", "3600")
    alive(server.connect()).send(request({"instances": [FOREVER]}, "/v1/models/slow:predict"))
    alive(server.connect())
    server.signal(number)
    eventually(lambda: server.log("draining"), "the drain has begun")
    server.signal(number)
    assert server.exit_code() in (-number, 128 + number)
    assert "Traceback" not in server.log_text


def test_a_signal_while_a_model_is_loaded_is_heard(store_folder: Path, tmp_path: Path) -> None:
    """Loading warms the model up, which takes far longer than any test waits."""
    file = graphs.save(slow(FOREVER), tmp_path / "forever.onnx")
    with Store.open(store_folder) as store:
        store.publish(NewVersion("forever", "1.0.0", file, {}, read_onnx(file).signature.to_json(), Metadata()))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [OCTET, "serve", "--store", str(store_folder), "--port", str(port), "--instances", "1", "--threads", "1"]
    log = tmp_path / "log"
    with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr, stdout=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: loading(port), "the model is being loaded")
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_SECONDS) == 0
        finally:
            process.kill()
    assert "stopped" in log.read_text()
    assert "Traceback" not in log.read_text()


def loading(port: int) -> bool:
    try:
        with Wire(port) as wire:
            return b'"LOADING"' in wire.ask(request(path="/v1/models/forever", method="GET")).body
    except ConnectionRefusedError:
        return False


def test_a_port_that_is_taken_is_named(published: None, store_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [OCTET, "serve", "--store", str(store_folder), "--port", str(port)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in ended.stderr
    assert "choose another --host or --port" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_stopped_server_leaves_nothing_in_the_store(published: None, store_folder: Path, start: Start) -> None:
    def left() -> list[Path]:
        return [*(store_folder / "tmp").iterdir(), *store_folder.glob("*-wal"), *store_folder.glob("unfinished*")]

    before = left()
    start().stop()
    assert left() == before
