"""Starts and stops the processes that are measured, each on a free port of the loopback address."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Server:
    """A running server that answers."""

    port: int
    seconds_to_ready: float
    pid: int

    def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """Status, headers (names in lower case) and body of one request."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def resident_mb(self) -> float:
        """Resident memory now, in MB of 1,000,000 bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def octet(store: Path, *flags: str, launcher: Sequence[str] = (str(BIN / "octet"),)) -> Iterator[Server]:
    """`octet serve`, ready. It is stopped, and has stopped, when the block ends."""
    port = _free_port()
    command = [*launcher, "serve", "--store", str(store), "--port", str(port), *flags]
    with _running(command, port, "/healthz/ready", store.parent / "octet.log") as server:
        yield server


@contextmanager
def comparison(name: str, answer: Path, model: Path) -> Iterator[Server]:
    """One application of `benchmarks.comparisons` under the uvicorn settings that Octet has."""
    port = _free_port()
    command = [
        sys.executable, "-m", "uvicorn", f"benchmarks.comparisons:{name}", "--port", str(port),
        "--http", "httptools", "--loop", "uvloop", "--no-access-log", "--log-level", "warning", "--lifespan", "off",
    ]  # fmt: skip
    variables = {"BENCH_ANSWER": str(answer), "BENCH_MODEL": str(model)}
    with _running(command, port, "/docs", answer.parent / f"{name}.log", variables) as server:
        yield server


def publish(store: Path, name: str, file: Path, version: str) -> None:
    """`octet model publish`, as a user would."""
    command = [str(BIN / "octet"), "model", "publish", name, str(file), "--version", version, "--store", str(store)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def _running(
    command: Sequence[str], port: int, path: str, log: Path, variables: dict[str, str] | None = None
) -> Iterator[Server]:
    started = time.perf_counter()
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | (variables or {}), stdout=file, stderr=file)
    try:
        while not _answers(port, path):
            if process.poll() is not None or time.perf_counter() - started > 60:
                raise RuntimeError(f"{' '.join(command)} did not become ready:\n{log.read_text('utf-8')}")
            time.sleep(0.005)
        yield Server(port, time.perf_counter() - started, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int, path: str) -> bool:
    try:
        return Server(port, 0, 0).request("GET", path)[0] == 200
    except (OSError, HTTPException):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
