"""A server of two processes: which they are, and how to ask one of them alone."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.service.process import Octet
from tests.service.wire import PATIENCE_SECONDS

TWO = ("--processes", "2")


def own_ports(server: Octet) -> list[int]:
    """Where each process answers alone."""
    found = re.search(
        r"^2 processes, each alone with its /metrics on port (\d+), (\d+)$", server.greeting, re.MULTILINE
    )
    assert found, server.greeting
    return [int(port) for port in found.groups()]


def pids(server: Octet) -> list[int]:
    """Of the processes that were started last, in order."""
    started = {line["process"]: line["pid"] for line in server.log("a process is started")}
    return [started[index] for index in sorted(started)]


def is_gone(pid: int) -> bool:
    """Whether the process has ended; one that nobody has waited for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@contextmanager
def alone(server: Octet) -> Iterator[list[httpx.Client]]:
    """A client of each process."""
    first, second = (f"http://127.0.0.1:{port}" for port in own_ports(server))
    with (
        httpx.Client(base_url=first, timeout=PATIENCE_SECONDS) as one,
        httpx.Client(base_url=second, timeout=PATIENCE_SECONDS) as other,
    ):
        yield [one, other]


def predict(client: httpx.Client, path: str, rows: Any) -> httpx.Response:
    return client.post(f"/v1/models/{path}:predict", json={"instances": rows})


def answered(client: httpx.Client) -> int:
    """How many requests this process has answered with 200."""
    lines = client.get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith("octet_requests_total{") and 'code="200"' in line]
    return int(sum(float(line.rpartition(" ")[2]) for line in found))
