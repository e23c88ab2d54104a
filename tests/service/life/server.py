"""A real `octet serve` process, and how to wait for what it does without sleeping blindly."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.service.wire import Wire, request

T = TypeVar("T")

OCTET = str(Path(sys.executable).with_name("octet"))
"""The command, as it is installed beside the interpreter of the tests."""

# Nothing here takes so long; a busy machine gets its time.
PATIENCE_SECONDS = 20.0


def eventually(look: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """The first true thing that `look` returns; fails when there is none in time."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)
    return seen


def alive(wire: Wire) -> Wire:
    """Once this is answered, the server has read what was sent to it before on connections that it had taken up."""
    assert wire.ask(request(path="/healthz/live", method="GET")).status == 200
    return wire


class Server:
    """One process. Its output goes to files, so that it never waits for a reader."""

    def __init__(self, folder: Path, store: Path, flags: Sequence[str], environment: dict[str, str]) -> None:
        folder.mkdir(parents=True)
        self._out, self._log = folder / "out", folder / "log"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("OCTET_")}
        with self._out.open("wb") as out, self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [OCTET, "serve", "--store", str(store), "--port", "0", *flags],
                stdout=out,
                stderr=log,
                env=inherited | environment,
            )
        self._wires: list[Wire] = []
        self.client = httpx.Client(timeout=PATIENCE_SECONDS)

    @property
    def greeting(self) -> str:
        return self._out.read_text()

    @property
    def log_text(self) -> str:
        return self._log.read_text()

    def log(self, event: str | None = None) -> list[dict[str, Any]]:
        """The lines that are complete, parsed; those of one event where it is named."""
        lines = [json.loads(line) for line in self.log_text.splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in lines if event in (None, line["event"])]

    def greeted(self) -> "Server":
        """Wait until everything is loaded that can be."""

        def look() -> str:
            assert self.process.poll() is None, self.log_text
            return self.greeting if self.greeting.endswith("\n") else ""

        eventually(look, "the greeting")
        url = self.greeting.split(" on ", 1)[1].split(",", 1)[0]
        self.port = int(url.rsplit(":", 1)[1])
        self.client.base_url = httpx.URL(url)
        return self

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, **options)

    def predict(self, path: str, body: object, **options: Any) -> httpx.Response:
        """POST to `/v1/models/{path}:predict`."""
        return self.client.post(f"/v1/models/{path}:predict", json=body, **options)

    def rows(self, path: str, rows: object) -> Any:
        """The predictions for these instances."""
        answer = self.predict(path, {"instances": rows})
        assert answer.status_code == 200, answer.text
        return answer.json()["predictions"]

    def refresh(self) -> dict[str, Any]:
        answer = self.client.post("/v1/store:refresh")
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def status(self, model: str, version: str) -> dict[str, Any]:
        """What the model's status page says of one version."""
        document = self.get(f"/v1/models/{model}").json()
        found: dict[str, Any] = next(one for one in document["model_version_status"] if one["semver"] == version)
        return found

    def sample(self, series: str) -> float:
        """The value of one line of the metrics page, named as it stands there; 0 where there is none."""
        for line in self.get("/metrics").text.splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        return 0.0

    def connect(self) -> Wire:
        """A connection of raw bytes that the server has taken up. It is closed with the server at the latest."""
        self._wires.append(Wire(self.port))
        return alive(self._wires[-1])

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def exit_code(self) -> int:
        """Wait for the end of the process."""
        return self.process.wait(PATIENCE_SECONDS)

    def stop(self) -> int:
        """The ordinary end."""
        self.signal(signal.SIGTERM)
        return self.exit_code()

    def discard(self) -> None:
        """The end, whatever the test left."""
        for wire in self._wires:
            wire.socket.close()
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_SECONDS)
