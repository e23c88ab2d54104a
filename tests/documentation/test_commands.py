"""Every command that a page tells to run does what the page says, against a real server.

A page is followed from top to bottom in a folder of its own, after what `make demo` does; only the ports differ.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documentation.answers import agree
from tests.documentation.pages import PAGES, ROOT, Block, blocks, name_of
from tests.documentation.reader import PORT, Reader, demo

RUN = [page for page in PAGES if any(block.part == "run" for block in blocks(page))]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with Reader(tmp_path) as reader:
        yield reader


def test_there_are_pages_to_follow() -> None:
    docs = ("protocols", "serving", "models", "quantization", "settings", "tensorrt", "upgrade")
    pages = {"README.md", *(f"docs/{page}.md" for page in docs)}
    assert {name_of(page) for page in RUN} >= pages


def test_the_demo_serves_where_the_pages_ask() -> None:
    assert demo()[1] == f".venv/bin/octet serve --store store --host 127.0.0.1 --port {PORT}"


@pytest.mark.timeout(300)  # a page may quantize several times, and train, at the lowest priority
@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_a_page_can_be_followed(page: Path, reader: Reader) -> None:
    printed = ""
    for block in blocks(page):
        match block:
            case Block("pycon", "run", lines):
                reader.type(lines)
            case Block(_, "run", commands):
                printed = reader.run(commands)
            case Block(_, "serve", command):
                reader.serve(command)
            case Block(_, "answer", documented):
                wanted = reader.here(documented)
                assert agree(wanted, printed), f"{name_of(page)} says\n{wanted}\nbut it is\n{printed}"
            case Block(_, name, text) if name:
                (reader.folder / name).write_text(text, "utf-8")


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_every_command_that_is_run_has_its_answer(page: Path) -> None:
    """Lines of Python have theirs below them."""
    parts = [block.part for block in blocks(page) if block.part in ("run", "answer") and block.language != "pycon"]
    assert parts == ["run", "answer"] * (len(parts) // 2)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_is_not_run_is_make_and_has_its_target(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for block in blocks(page):
        if block.language == "sh" and block.part not in ("run", "serve"):
            for line in block.text.splitlines():
                command, target = line.split()[:2]
                assert command == "make", f"mark it `sh run`, and show what it prints: {line}"
                assert re.search(rf"^{target}:.*## ", makefile, re.MULTILINE), line
