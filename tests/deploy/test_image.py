"""The image `cpu` as a container of its own: what is in it, as whom it runs, how fast it starts, how it ends."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.conftest import tell
from tests.deploy.engine import DIGITS, docker, inspect, is_to_be_had, logged
from tests.deploy.load import SEVEN
from tests.service.process import eventually

SEALED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp")  # noqa: S108
MOST_BYTES = 450_000_000
BASE = "python:3.12-slim"
PUBLIC_BASE_BYTES = 125_000_000
"""Of the public one. What has this name here may be larger: what is ours is judged beside the public one."""
STARTS = 3
MOST_SECONDS = 3.0


@pytest.fixture
def volume(image: str) -> Iterator[str]:
    """A store with the digits model."""
    name = docker("volume", "create").strip()
    words = ["model", "publish", "digits", f"{DIGITS}/digits.onnx", "--version", "1.0.0"]
    docker("run", "--rm", *SEALED, "--volume", f"{name}:/var/lib/octet", image, *words)
    yield name
    docker("volume", "rm", name)


@pytest.fixture
def server(image: str, volume: str) -> Iterator[str]:
    """The id of a container that serves it, once it is ready."""
    mounts = ["--volume", f"{volume}:/var/lib/octet", "--publish", "127.0.0.1:0:8080"]
    name = docker("run", "--detach", *SEALED, *mounts, image).strip()
    try:
        eventually(lambda: is_ready(name), "ready", 60)
        yield name
    finally:
        docker("rm", "--force", name)


def is_ready(container: str) -> bool:
    return asked_itself(container) == (0, "ready")


def asked_itself(container: str) -> tuple[int, str]:
    """What `octet health` says in the container."""
    done = subprocess.run(["docker", "exec", container, "octet", "health"], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip()


def test_it_is_small(image: str) -> None:
    assert is_to_be_had(BASE)  # the newer builder keeps what it pulls to itself
    all_bytes, base_bytes = inspect(image)["Size"], inspect(BASE)["Size"]
    tell(f"image cpu: {all_bytes / 1e6:.0f} MB, of which {BASE} {base_bytes / 1e6:.0f} MB")
    assert all_bytes - base_bytes < MOST_BYTES - PUBLIC_BASE_BYTES


def test_it_holds_what_runs_and_nothing_that_builds(image: str) -> None:
    look = f"command -v gcc cc make curl; ls {Path(DIGITS).parent}/bin/pip*; find {Path(DIGITS).parent} -name tests"
    assert docker("run", "--rm", "--entrypoint", "sh", image, "-c", f"id -u; {{ {look}; }} 2>&-; true") == "10001\n"


def test_it_says_what_it_is(image: str) -> None:
    config = inspect(image)["Config"]
    assert config["User"] == "octet"
    assert config["Healthcheck"]["Test"] == ["CMD", "octet", "health"]
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items()}
    assert labels["title"] == "Octet"
    assert labels["licenses"] == "Apache-2.0"
    assert set(labels) >= {"description", "version", "revision"}


def test_it_starts_within_seconds(image: str, volume: str) -> None:
    """From `docker run` to the first answer that says ready, asked by the host. The first start measures the model."""
    taken = [seconds_to_start(image, volume) for _ in range(STARTS + 1)]
    first, *later = taken
    tell(f"start until ready: first {first:.1f} s, then {', '.join(f'{one:.1f}' for one in later)} s")
    assert min(later) < MOST_SECONDS


def seconds_to_start(image: str, volume: str) -> float:
    begun = time.monotonic()
    mounts = ["--volume", f"{volume}:/var/lib/octet", "--publish", "127.0.0.1:0:8080"]
    name = docker("run", "--detach", *SEALED, *mounts, image).strip()
    try:
        host, _, port = docker("port", name, "8080").strip().rpartition(":")
        eventually(lambda: status(host, int(port)) == 200, "ready", 60)
        return time.monotonic() - begun
    finally:
        docker("rm", "--force", name)


def status(host: str, port: int) -> int:
    """Of `/healthz/ready`; 0 while nobody answers."""
    try:
        with socket.create_connection((host, port), timeout=5) as connection:
            connection.sendall(b"GET /healthz/ready HTTP/1.1\r\nHost: octet\r\nConnection: close\r\n\r\n")
            return int(connection.recv(65536).split(b" ")[1])
    except (OSError, IndexError):
        return 0


def test_a_stop_waits_for_what_was_taken_up(server: str) -> None:
    """Half a request is sent, the container is told to stop, the other half is sent: it is answered."""
    host, _, port = docker("port", server, "8080").strip().rpartition(":")
    body = SEVEN.encode()
    head = f"POST /v1/models/digits:predict HTTP/1.1\r\nHost: octet\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head + body[:20])
        connection.sendall(body[20:40])
        eventually(lambda: "octet_" in metrics(host, int(port)), "the server has read what was sent before")
        with subprocess.Popen(["docker", "stop", server], stdout=subprocess.DEVNULL) as stopping:
            eventually(lambda: asked_itself(server) == (1, "draining"), "draining", 30)
            connection.sendall(body[40:])
            answer = connection.recv(65536)
            assert stopping.wait(60) == 0
    assert answer.startswith(b"HTTP/1.1 200 ")
    state = inspect(server)["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    events = [json.loads(line)["event"] for line in logged(server).splitlines() if line.startswith("{")]
    assert events[-2:] == ["draining", "stopped"]


def metrics(host: str, port: int) -> str:
    with socket.create_connection((host, port), timeout=5) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: octet\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
