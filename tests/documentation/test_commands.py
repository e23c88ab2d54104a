"""Every command that a page tells to run does what the page says, against a real server.

A page is followed from top to bottom in a folder of its own, after what `make demo` does; only the port differs.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documentation.answers import agree
from tests.documentation.pages import PAGES, ROOT, blocks, name_of
from tests.service.process import Octet

PORT = 8080
RUN = [page for page in PAGES if any(block.part == "run" for block in blocks(page))]


class Reader:
    """Somebody with a shell in a folder that looks like the repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        commands = folder / ".venv" / "bin"
        commands.mkdir(parents=True)
        (commands / "octet").symlink_to(Path(sys.executable).with_name("octet"))
        (folder / "examples").symlink_to(ROOT / "examples")
        kept = {key: text for key, text in os.environ.items() if not key.startswith("OCTET_")}
        self._environment = kept | {"PATH": f"{commands}:{kept['PATH']}", "no_proxy": "127.0.0.1"}
        self.port = PORT

    def run(self, commands: str) -> str:
        """What the commands print; asserts that all of them succeed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands.replace(f":{PORT}", f":{self.port}")],
            cwd=self.folder, env=self._environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        return done.stdout


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


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """After `make demo`, with the server on a free port and nothing to measure."""
    reader = Reader(tmp_path)
    reader.run(demo()[0])
    with Octet(tmp_path, tmp_path / "store") as server:
        reader.port = server.port
        yield reader
        server.stop()


def test_there_are_pages_to_follow() -> None:
    assert {name_of(page) for page in RUN} >= {"README.md", "docs/serving.md", "docs/models.md", "docs/settings.md"}


def test_the_demo_serves_where_the_pages_ask() -> None:
    assert demo()[1] == f".venv/bin/octet serve --store store --host 127.0.0.1 --port {PORT}"


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_a_page_can_be_followed(page: Path, reader: Reader) -> None:
    printed = ""
    for block in blocks(page):
        if block.part == "run":
            printed = reader.run(block.text)
        elif block.part == "answer":
            documented = block.text.replace(f":{PORT}", f":{reader.port}")
            assert agree(documented, printed), f"{name_of(page)} says\n{documented}\nbut it is\n{printed}"
        elif block.part:
            (reader.folder / block.part).write_text(block.text, "utf-8")


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_every_command_that_is_run_has_its_answer(page: Path) -> None:
    parts = [block.part for block in blocks(page) if block.part in ("run", "answer")]
    assert parts == ["run", "answer"] * (len(parts) // 2)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_is_not_run_is_make_and_has_its_target(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for block in blocks(page):
        if block.language == "sh" and block.part != "run":
            for line in block.text.splitlines():
                command, target = line.split()[:2]
                assert command == "make", f"mark it `sh run`, and show what it prints: {line}"
                assert re.search(rf"^{target}:.*## ", makefile, re.MULTILINE), line
