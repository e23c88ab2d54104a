"""Recipes that are made in an environment of their own, by real child processes."""

import os
import select
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engines.errors import QuantizeError
from engines.quantize import tools
from engines.quantize.open_rows import open_rows
from engines.quantize.recipe import Made, Options, Source
from engines.quantize.rows import RowsSpec
from tests.engines.quantize.conftest import DIGITS
from tests.engines.quantize.tool_recipes import Away, set_up_environment

ROWS = RowsSpec(str(DIGITS / "calibration.npz"), most_rows=10, seed=3)
SHARES_TOLD = [0.5]


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files; there is an environment `here`."""
    return set_up_environment(tmp_path, monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    folder.mkdir()
    return folder


class Told:
    """What was told of the progress, the child's process id with it."""

    def __init__(self) -> None:
        self.shares: list[float] = []
        self.pid = 0

    def __call__(self, what: str, done: float) -> None:
        self.shares.append(done)
        self.pid = int(what.removeprefix("process "))


def make(recipe: Away, source: Source, folder: Path, told: Told) -> Made:
    return tools.make(recipe, source, ROWS, folder, Options(exclude=("a", "b"), seed=7), told)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_what_is_made_elsewhere_is_what_was_asked_for(digits: Source, folder: Path, scratch: Path) -> None:
    told = Told()
    made = make(Away(words=("x",)), replace(digits, network="nets:digits"), folder, told)
    assert made.main.read_bytes() == digits.path.read_bytes()
    assert {name: path.read_bytes() for name, path in made.external.items()} == {"beside.bin": b"beside"}
    assert made.details == {
        "digest": open_rows(ROWS, digits.signature).digest,
        "network": "nets:digits",
        "excluded": ["a", "b"],
        "words": ["x"],
        "niceness": 19,
        "elsewhere": [str(Path.cwd())],  # only where the test says so
    }
    assert told.shares == SHARES_TOLD
    assert is_gone(told.pid)
    assert not list(scratch.iterdir())


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ("refuses", r"^this is too small; make it larger$"),
        ("raises", r"^away failed with ZeroDivisionError: by nothing$"),
        ("aborts", r"^away: its process was ended by SIGABRT; it said last: no such kernel$"),
    ],
)
def test_what_fails_elsewhere_fails_here(ending: str, words: str, digits: Source, folder: Path, scratch: Path) -> None:
    told = Told()
    with pytest.raises(QuantizeError, match=words):
        make(Away(ending), digits, folder, told)
    assert told.shares == SHARES_TOLD
    assert is_gone(told.pid)
    assert not list(scratch.iterdir())


def test_a_child_that_is_killed_is_told_of(digits: Source, folder: Path, scratch: Path) -> None:
    class Killing(Told):
        def __call__(self, what: str, done: float) -> None:
            super().__call__(what, done)
            os.kill(self.pid, signal.SIGKILL)

    told = Killing()
    with pytest.raises(QuantizeError, match=r"^away: its process was ended by SIGKILL, .* memory runs short"):
        make(Away("hangs"), digits, folder, told)
    assert is_gone(told.pid)
    assert not list(scratch.iterdir())


def test_whoever_interrupts_the_call_ends_the_child(digits: Source, folder: Path, scratch: Path) -> None:
    class Interrupting(Told):
        def __call__(self, what: str, done: float) -> None:
            super().__call__(what, done)
            raise KeyboardInterrupt

    told = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        make(Away("hangs"), digits, folder, told)
    assert is_gone(told.pid)
    assert not list(scratch.iterdir())


_PARENT = """
import sys
from pathlib import Path
from engines.onnx_file import read_onnx
from engines.quantize import tools
from engines.quantize.recipe import Options, Source
from tests.engines.quantize.tool_recipes import Away

path, folder = map(Path, sys.argv[1:])
source = Source(path, read_onnx(path).signature)
tools.make(Away("hangs"), source, None, folder, Options(), lambda what, done: print(what, flush=True))
"""


def test_the_child_ends_with_its_parent(digits: Source, folder: Path, scratch: Path) -> None:
    words = [sys.executable, "-c", _PARENT, str(digits.path), str(folder)]
    environment = os.environ | {"TMPDIR": str(scratch)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline().removeprefix("process ")))
        try:
            parent.kill()
            assert select.select([child], [], [], 60)[0], "the child is still there"
        finally:
            os.close(child)


def test_an_environment_that_is_not_there_is_named_with_the_way_to_it(tmp_path: Path) -> None:
    told = tools.missing(Away(tool="nowhere"))
    assert told is not None
    assert f"there is no {tmp_path / 'tools' / 'nowhere'}; set it up by `make tools`" in told
    assert "OCTET_TOOLS" in told


def test_a_module_that_the_environment_has_not_is_named(tmp_path: Path) -> None:
    environment = tmp_path / "tools" / "here"
    told = tools.missing(Away(needs=("numpy", "nothing_like_it", "nor_this")))
    assert told == f"it needs nothing_like_it nor_this, which {environment} has not; set it up anew by `make tools`"


def test_an_environment_whose_python_does_not_run_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "tools" / "here" / "bin" / "python").write_text("#!/bin/sh\nexit 3\n")
    told = tools.missing(Away())
    assert told is not None
    assert "does not run" in told


def test_a_module_that_is_not_installed_here_is_named() -> None:
    assert tools.missing(Away(tool=None, needs=("nothing_like_it",))) == (
        "it needs nothing_like_it, which is not installed here"
    )


def test_the_engine_must_be_here_wherever_the_variant_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "find_spec", lambda name: None)
    told = tools.missing(Away(engine="openvino"))
    assert told == "it needs openvino, which is not installed here: pip install 'octet-serving[openvino]'"


@pytest.mark.parametrize("tool", ["here", None])
def test_where_all_is_there_nothing_is_missing(tool: str | None) -> None:
    assert tools.missing(Away(tool=tool, needs=("numpy",))) is None
