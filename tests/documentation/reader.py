"""Somebody who follows a page after `make demo`, with a shell and Python in what looks like the repository."""

import os
import re
import subprocess
import sys
from contextlib import ExitStack
from doctest import DocTestParser
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.clients.client import Client
from tests.documentation.answers import agree
from tests.documentation.pages import ROOT
from tests.service.process import Octet

PORT = 8080
"""Where the demo serves."""


def demo() -> tuple[str, str]:
    """The two commands of `make demo`: publish, serve."""
    makefile = (ROOT / "Makefile").read_text("utf-8").replace("\\\n", " ")
    recipe = re.search(r"^demo:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe is not None
    publish, serve = (
        " ".join(line.replace("$(BIN)", ".venv/bin").removeprefix("@").removeprefix("exec ").split())
        for line in recipe[1].replace("\t", "").splitlines()
    )
    return publish, serve


class Reader:
    """Follows one page; stops at the end of the `with` what was started.

    Ports and keys of shared memory are not those of the page, since others may be reading it on the same machine.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        commands = folder / ".venv" / "bin"
        commands.mkdir(parents=True)
        (commands / "octet").symlink_to(Path(sys.executable).with_name("octet"))
        (folder / "examples").symlink_to(ROOT / "examples")
        (folder / "build" / "tools").mkdir(parents=True)
        for tool in ("tensorrt", "torch"):
            (folder / "build" / "tools" / tool).symlink_to(ROOT / "build" / "tools" / tool)
        kept = {key: text for key, text in os.environ.items() if not key.startswith("OCTET_")}
        self._environment = kept | {"PATH": f"{commands}:{kept['PATH']}", "no_proxy": "127.0.0.1"}
        self._ports: dict[str, int] = {}
        self._started = ExitStack()

    def __enter__(self) -> Self:
        self.run(demo()[0])
        self._serve(str(PORT))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._started.close()

    def here(self, text: str) -> str:
        """What the page says, with the ports of these servers and keys of our own."""
        text = text.replace("/octet-", f"/octet-{os.getpid()}-")
        return re.sub(r":(80\d\d)\b", lambda found: f":{self._ports.get(found[1], found[1])}", text)

    def run(self, commands: str) -> str:
        """What the commands print; asserts that all of them succeed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.here(commands)],
            cwd=self.folder, env=self._environment, capture_output=True, text=True, check=False, timeout=200,
        )  # fmt: skip
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def type(self, lines: str) -> None:
        """Type the lines into Python, and assert that it prints what stands below each."""
        for line in DocTestParser().get_examples(self.here(lines)):
            printed = self._python.ask("run", line.source)
            assert agree(line.want, printed), f"{line.source}prints\n{printed}\nand the page says\n{line.want}"

    def serve(self, command: str) -> None:
        """Serve with what stands behind the port: a server beside the demo's, of the same store."""
        found = re.fullmatch(r"octet serve --port (\d+)(.*)\n", command)
        assert found, command
        self._serve(found[1], *found[2].split())

    def _serve(self, port: str, *flags: str) -> None:
        folder = self.folder / f"server-{port}"
        folder.mkdir()
        server = self._started.enter_context(Octet(folder, self.folder / "store", *flags))
        self._started.callback(server.stop)
        self._ports[port] = server.port

    @cached_property
    def _python(self) -> Client:
        """Where tritonclient and httpx are installed."""
        return self._started.enter_context(Client("triton", "session.py", str(self.folder), folder=self.folder))
