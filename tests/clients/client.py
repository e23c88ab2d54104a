"""Another product's client, running in its own environment under build/clients."""

import json
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.clients.scripts.lines import Array, unpack
from tests.service.wire import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(__file__).with_name("scripts")


def installed(client: str, program: str) -> Path:
    """A program of the client's environment."""
    found = ROOT / "build" / "clients" / client / "bin" / program
    assert found.exists(), f"{found.relative_to(ROOT)} is missing: run `make clients`"
    return found


class Refused(Exception):
    """The client raised what it raises for an error of the server: what it says of it."""

    def __init__(self, kind: str, message: str, status: str | int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status


class Client:
    """A script of `scripts/` under the client's own Python, asked line by line; gone at the end of the `with`.

    One that ended, with the error that the test then fails with, is started anew for the next question.
    """

    def __init__(self, client: str, script: str, *arguments: str, folder: Path) -> None:
        self._command = [installed(client, "python"), SCRIPTS / script, *arguments]
        self._errors = folder / "stderr"
        self._process = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._end()

    def ask(self, name: str, *arguments: Any, **options: Any) -> Any:
        """What the client's method returns. Raises Refused."""
        assert self._process.stdin
        assert self._process.stdout
        with suppress(BrokenPipeError):  # then it has no answer either
            self._process.stdin.write(json.dumps([name, arguments, options]) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._end()
            said = self._errors.read_text("utf-8")
            self._process = self._start()
            pytest.fail(f"{name} ended the client:\n{said}")
        answer = json.loads(line)
        if "refused" in answer:
            raise Refused(**answer["refused"])
        return answer["result"]

    def _start(self) -> subprocess.Popen[str]:
        with self._errors.open("wb") as errors:
            return subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def _end(self) -> None:
        try:
            self._process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()


def arrays(outputs: dict[str, Any]) -> dict[str, Array]:
    """The packed arrays of an answer."""
    return {name: unpack(packed) for name, packed in outputs.items()}
