"""A real `octet serve` process, behind its fast door or its ASGI door."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.service.door_cases import lasting
from tests.service.wire import PATIENCE_SECONDS, Wire

FAST_DOOR = (str(Path(sys.executable).with_name("octet")),)
WAITING = 'octet_pending_rows{model="slow"'
# What `octet serve` does where the installed uvicorn is none that the fast door knows.
ASGI_DOOR = (
    sys.executable,
    "-c",
    "import uvicorn; uvicorn.__version__ = '0.53.9'; from app.cli.main import main; main()",
)


class Octet:
    """One server process, ready once this is made. `stop` is the ordinary end and asserts that it is clean."""

    def __init__(self, folder: Path, store: Path, *flags: str, command: tuple[str, ...] = FAST_DOOR) -> None:
        self.store = store
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "serve", "--store", str(store), "--port", "0", *flags],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        greeting = self.process.stdout.readline()  # printed once everything is loaded
        found = re.search(r" on (http://127\.0\.0\.1:(\d+))", greeting)
        assert found, f"no greeting: {greeting}{self.log}"
        self.url, self.port = found[1], int(found[2])

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    def connect(self) -> Wire:
        return Wire(self.port)

    def sample(self, series: str) -> float:
        """The sum of the lines of the metrics page that start so."""
        page = httpx.get(f"{self.url}/metrics", timeout=PATIENCE_SECONDS).text
        return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(series))

    def until(self, series: str, is_reached: Callable[[float], bool]) -> None:
        """Wait until the sum of these lines is what the test waits for."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not is_reached(value := self.sample(series)):
            assert time.monotonic() < end, f"{series} is {value}"

    def keep_busy(self, wire: Wire, products: int = 5000) -> None:
        """Have the worker of `slow` run the first of two requests, and the second wait; batches are of one row here."""
        wire.send(lasting(products) + lasting(0))
        self.until(WAITING, lambda rows: rows == 1)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(PATIENCE_SECONDS)
        finally:
            self.process.kill()
            self.process.communicate()
        assert code == 0, self.log
        assert "Traceback" not in self.log, self.log
