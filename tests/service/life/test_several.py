"""Several processes under a supervisor: one port, a share of the cores each, started again, drained together."""

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.cli.ports import reserve
from engines.machine import usable_cores
from tests import graphs
from tests.app.cli.test_main import octet
from tests.service.conftest import Publish, Start
from tests.service.jobs import LONG, ONE_JOB_SECONDS
from tests.service.jobs import PATH as JOBS
from tests.service.networks import slow
from tests.service.process import OCTET, Octet, alive, eventually
from tests.service.several import TWO, alone, answered, is_gone, own_ports, pids, predict
from tests.service.wire import PATIENCE_SECONDS, Wire, request

pytestmark = pytest.mark.skipif(usable_cores() < 2, reason="each process needs a core")

PATH = "/v1/models/m:predict"
ONE_ROW = {"instances": [[1, 2]]}
# Matrix products that keep `slow` busy far longer than any test waits.
FOREVER = 10_000_000


@pytest.fixture
def published(publish: Publish) -> None:
    publish("m", "1.0.0", graphs.adding(1))
    publish("slow", "1.0.0", slow())


def ask(server: Octet) -> int:
    """The status of a request on a connection of its own."""
    with Wire(server.port) as wire:
        return wire.ask(request(ONE_ROW, PATH)).status


def slow_request(products: int = 2000) -> bytes:
    return request({"instances": [products]}, "/v1/models/slow:predict")


def test_both_answer_on_the_one_port_and_each_alone_on_its_own(published: None, start: Start) -> None:
    server = start(*TWO)
    assert {ask(server) for _ in range(64)} == {200}
    with alone(server) as clients:
        first, second = (answered(client) for client in clients)
        assert first + second == 64
        assert min(first, second) > 0, "the kernel deals out connections by their hash"
        for client in clients:
            assert predict(client, "m", [[1, 2]]).json() == {"predictions": [[2, 3]]}
            assert client.get("/healthz/ready").json()["ready"]
        assert [answered(client) for client in clients] == [first + 1, second + 1]
    assert server.greeting.count("Octet ") == 1
    assert {line["process"] for line in server.log("version is available")} == {0, 1}
    assert octet("health", "--port", str(server.port)).stdout == "ready\n"
    server.stop()


def test_each_has_its_share_of_the_cores_and_is_measured_within_it(
    published: None, start: Start, store_folder: Path
) -> None:
    server = start(*TWO, split=None)
    first, second = (os.sched_getaffinity(pid) for pid in pids(server))
    assert first | second == os.sched_getaffinity(0)
    assert not first & second
    assert abs(len(first) - len(second)) <= 1
    kept = store_folder / "cache" / "measured" / "tuning"
    of_shares = {path.name for path in kept.iterdir()}
    with alone(server) as clients:
        for client in clients:
            (status,) = client.get("/v1/models/slow").json()["model_version_status"]
            assert status["instances"] * status["threads"] <= -(-usable_cores() // 2)
    server.stop()
    start(split=None).stop()
    assert {path.name for path in kept.iterdir()} > of_shares, "what a whole machine does is remembered apart"


def test_one_that_is_killed_fails_its_own_connections_once_and_is_back(published: None, start: Start) -> None:
    server = start(*TWO)
    (victim, other), victims_port = pids(server), own_ports(server)[0]
    held = [alive(server.connect(port)) for port in own_ports(server)]
    running = server.connect(victims_port).send(slow_request(FOREVER))
    failures: list[str] = []
    stop = threading.Event()

    def ask_on() -> None:
        with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
            while not stop.is_set():
                try:
                    answer = client.post(PATH, json=ONE_ROW)
                    assert answer.status_code == 200, answer.text
                except (httpx.TransportError, AssertionError) as error:
                    failures.append(repr(error))

    clients = [threading.Thread(target=ask_on) for _ in range(8)]
    for client in clients:
        client.start()
    os.kill(victim, signal.SIGKILL)
    assert running.rest() == b""
    assert held[0].rest() == b""
    eventually(lambda: len(server.log("a process is ready")) == 3, "another one is in its place")
    stop.set()
    for client in clients:
        client.join()
    assert len(failures) <= len(clients), failures
    assert pids(server)[0] != victim
    assert pids(server)[1] == other
    assert held[1].ask(request(ONE_ROW, PATH)).status == 200, "what was not its own goes on"
    assert alive(server.connect(victims_port)).ask(request(ONE_ROW, PATH)).status == 200
    (ended,) = server.log("a process ended")
    assert (ended["process"], ended["pid"], ended["signal"]) == (0, victim, "SIGKILL")
    assert server.greeting.count("Octet ") == 1
    server.stop()


def test_what_is_published_is_served_by_all(publish: Publish, start: Start) -> None:
    publish("m", "1.0.0", graphs.adding(1))
    server = start(*TWO)
    publish("m", "1.1.0", graphs.adding(2))
    with alone(server) as clients:
        eventually(
            lambda: {predict(one, "m", [[1, 2]]).text for one in clients} == {'{"predictions":[[3.0,4.0]]}'}, "it"
        )
    server.stop()


def test_what_one_unloads_all_do_until_one_loads_it(published: None, start: Start) -> None:
    server = start(*TWO)
    own = [f"http://127.0.0.1:{port}" for port in own_ports(server)]

    def statuses() -> list[int]:
        return [httpx.post(url + PATH, json=ONE_ROW).status_code for url in own]

    assert httpx.post(f"{own[0]}/v2/repository/models/m/unload").status_code == 200
    eventually(lambda: statuses() == [404, 404], "it is unloaded in both")
    os.kill(pids(server)[0], signal.SIGKILL)
    eventually(lambda: len(server.log("a process is ready")) == 3, "another one is in its place")
    assert statuses() == [404, 404], "which knows of it"
    assert httpx.post(f"{own[1]}/v2/repository/models/m/load").status_code == 200
    eventually(lambda: statuses() == [200, 200], "it is loaded in both")
    server.stop()


@pytest.mark.timeout(3 * ONE_JOB_SECONDS)
def test_jobs_are_everybodys_and_outlive_the_process_that_runs_them(start_digits: Start) -> None:
    server = start_digits(*TWO)
    own = [f"http://127.0.0.1:{port}" for port in own_ports(server)]

    def job(number: int) -> dict[str, Any]:
        """On a connection of its own, for one that is kept ends with its process."""
        found: dict[str, Any] = httpx.get(f"{server.url}/v1/jobs/{number}").json()
        return found

    for url in own:
        assert httpx.post(url + JOBS, json=LONG).status_code == 202
    eventually(lambda: job(1)["progress"], "it is at work", ONE_JOB_SECONDS)
    assert [[one["id"] for one in httpx.get(f"{url}/v1/jobs").json()["jobs"]] for url in own] == [[1, 2]] * 2
    (running,) = server.log("job running")
    os.kill(pids(server)[1 - running["process"]], signal.SIGKILL)
    eventually(lambda: len(server.log("a process is ready")) == 3, "the other one is back")
    assert job(1)["state"] == "running", "what another process runs goes on"
    os.kill(pids(server)[running["process"]], signal.SIGKILL)
    eventually(lambda: len(server.log("a process is ready")) == 4, "it is back")
    eventually(lambda: job(1)["state"] == "failed", "the other one runs the jobs now, and has seen that it was cut off")
    eventually(lambda: job(2)["progress"], "the next one is at work", ONE_JOB_SECONDS)
    assert httpx.post(f"{own[running['process']]}/v1/jobs/2:cancel").json()["state"] == "cancelled"
    assert job(2)["state"] == "cancelled"
    server.stop()


def supervisor_alone(server: Octet) -> None:
    server.signal(signal.SIGTERM)


def supervisor_by_ctrl_c(server: Octet) -> None:
    server.signal(signal.SIGINT)


def all_as_systemd_does(server: Octet) -> None:
    for pid in pids(server):
        os.kill(pid, signal.SIGTERM)
    server.signal(signal.SIGTERM)


@pytest.mark.parametrize("stop", [supervisor_alone, supervisor_by_ctrl_c, all_as_systemd_does])
def test_a_signal_finishes_what_is_in_flight_everywhere(
    stop: Callable[[Octet], None], published: None, start: Start
) -> None:
    server = start(*TWO)
    running = [alive(server.connect(port)).send(slow_request()) for port in own_ports(server)]
    for port in own_ports(server):
        alive(server.connect(port))
    stop(server)
    assert [wire.answer().json() for wire in running] == [{"predictions": [2000]}] * 2
    assert server.exit_code() == 0, server.log_text
    assert sorted(line["in_flight"] for line in server.log("draining")) == [1, 1]
    assert "Traceback" not in server.log_text
    assert all(map(is_gone, pids(server)))


def test_the_second_signal_ends_all_at_once(published: None, start: Start) -> None:
    server = start(*TWO, "--drain-seconds", "3600")
    for port in own_ports(server):
        alive(server.connect(port)).send(slow_request(FOREVER))
        alive(server.connect(port))
    server.signal(signal.SIGTERM)
    eventually(lambda: len(server.log("draining")) == 2, "the drains have begun")
    server.signal(signal.SIGTERM)
    assert server.exit_code() == 1
    assert all(map(is_gone, pids(server)))


def test_no_process_outlives_its_supervisor(published: None, start: Start) -> None:
    server = start(*TWO)
    running = [alive(server.connect(port)).send(slow_request()) for port in own_ports(server)]
    for port in own_ports(server):
        alive(server.connect(port))
    server.signal(signal.SIGKILL)
    assert [wire.answer().json() for wire in running] == [{"predictions": [2000]}] * 2, "they drain all the same"
    eventually(lambda: all(map(is_gone, pids(server))), "they are gone")


def refusal(store_folder: Path, *flags: str) -> str:
    """What a start that cannot be says."""
    command = [OCTET, "serve", "--store", str(store_folder), "--port", "0", *TWO, *flags]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert (ended.returncode, ended.stdout) == (1, ""), ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_what_cannot_be_is_told_before_anything_is_started(store_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken, reserve("127.0.0.1", 0) as reserved:
        for port in (taken.getsockname()[1], reserved.getsockname()[1]):
            in_use = f"cannot listen on 127.0.0.1 port {port}: Address already in use"
            assert in_use in refusal(store_folder, "--port", str(port))
            assert in_use in refusal(store_folder, "--metrics-port", str(port))
    told = refusal(store_folder, "--processes", "1024")
    assert f"processes is 1024, and {usable_cores()} cores may be used here" in told
    assert "use --processes 1, or --no-shared-memory" in refusal(store_folder, "--shared-memory")
    assert "no 2 ports from 65535 on" in refusal(store_folder, "--metrics-port", "65535")
    assert not store_folder.exists()


def test_a_start_that_fails_ends_all_with_its_message(published: None, store_folder: Path) -> None:
    (store_folder / "format.json").write_text('{"octet_store": 99}')
    told = refusal(store_folder)
    assert f"octet: {store_folder} has format 99" in told
    assert "a process cannot be kept up" in told
    assert "is started again" not in told


def test_one_process_has_a_port_of_its_own_where_that_is_set(published: None, start: Start) -> None:
    with reserve("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    server = start("--metrics-port", str(port))
    assert ask(server) == 200
    page = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    assert 'octet_requests_total{code="200",model="m",variant="fp32",version="1.0.0"} 1.0' in page
    server.stop()
