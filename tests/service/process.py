"""A real `octet serve` process, and how to wait for what it does without sleeping blindly."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from tests.service.wire import PATIENCE_SECONDS, Wire, request

T = TypeVar("T")

OCTET = str(Path(sys.executable).with_name("octet"))
"""The command, as it is installed beside the interpreter of the tests."""
# What `octet serve` does where the installed uvicorn is none that the fast door knows.
ASGI_DOOR = (
    sys.executable,
    "-c",
    "import uvicorn; uvicorn.__version__ = '0.53.9'; from app.cli.main import main; main()",
)


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


class Octet:
    """One server, which has loaded all it can once this is made; gone at the end of the `with`, whatever the test left.

    It has one worker of one thread a model, unless the test is about that: measuring takes a second a model.
    Its output goes to files, so that it never waits for a reader.
    """

    def __init__(
        self,
        folder: Path,
        store: Path,
        *flags: str,
        command: tuple[str, ...] = (OCTET,),
        split: tuple[int, int] | None = (1, 1),
    ) -> None:
        self._out, self._log = folder / "out", folder / "log"
        if split:
            flags = ("--instances", str(split[0]), "--threads", str(split[1]), *flags)
        inherited = {key: text for key, text in os.environ.items() if not key.startswith("OCTET_")}
        with self._out.open("wb") as out, self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "serve", "--store", str(store), "--port", "0", *flags],
                stdout=out,
                stderr=log,
                env=inherited,
            )
        self._held = ExitStack()
        self._held.callback(self._end)
        try:
            self.url, self.port = self._where_it_listens()
        except BaseException:
            self._end()
            raise
        self.client = self._held.enter_context(httpx.Client(base_url=self.url, timeout=PATIENCE_SECONDS))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._held.close()

    @property
    def greeting(self) -> str:
        """What it printed, once everything was loaded."""
        return self._out.read_text("utf-8")

    @property
    def log_text(self) -> str:
        return self._log.read_text("utf-8")

    def log(self, event: str | None = None) -> list[dict[str, Any]]:
        """The lines that are complete, parsed; those of one event where it is named."""
        lines = [json.loads(line) for line in self.log_text.splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in lines if event in (None, line["event"])]

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

    def version_at(self, path: str) -> str:
        """Which version answers two numbers there."""
        answer = self.predict(path, {"instances": [[0, 0]]})
        assert answer.status_code == 200, answer.text
        return answer.headers["octet-model-version"]

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
        """The sum of the lines of the metrics page that start so."""
        page = self.get("/metrics").text
        return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(series))

    def until(self, series: str, is_reached: Callable[[float], bool]) -> None:
        """Wait until the sum of these lines is what the test waits for."""
        eventually(lambda: is_reached(self.sample(series)), f"{series} is as it should be")

    def connect(self, port: int | None = None) -> Wire:
        """A connection of raw bytes, to another port where one is named. It is closed with the server at the latest."""
        return self._held.enter_context(Wire(self.port if port is None else port))

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def exit_code(self) -> int:
        """Wait for the end of the process."""
        return self.process.wait(PATIENCE_SECONDS)

    def stop(self) -> None:
        """The ordinary end, which must be clean."""
        self.signal(signal.SIGTERM)
        assert self.exit_code() == 0, self.log_text
        assert "Traceback" not in self.log_text, self.log_text

    def _where_it_listens(self) -> tuple[str, int]:
        def look() -> re.Match[str] | None:
            found = re.search(r" on (http://\S+:(\d+))(?s:.*)\n\Z", self.greeting)
            assert found or self.process.poll() is None, f"no greeting: {self.greeting}{self.log_text}"
            return found

        found = eventually(look, "the greeting")
        assert found
        return found[1], int(found[2])

    def _end(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)
