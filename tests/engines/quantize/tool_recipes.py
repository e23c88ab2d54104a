"""A recipe that is made in an environment of its own, and that environment, for tests of `engines.quantize.tools`."""

import os
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engines.errors import QuantizeError
from engines.quantize.recipe import Made, Options, Progress, Source
from engines.quantize.rows import Rows

if TYPE_CHECKING:
    import pytest


def set_up_environment(folder: Path, monkeypatch: "pytest.MonkeyPatch") -> Path:
    """An environment `here`, whose Python is this one's, below `folder`; gives the folder of temporary files."""
    python = folder / "tools" / "here" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("OCTET_TOOLS", str(folder / "tools"))
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))  # for `Away`, which is a test's
    (folder / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "scratch"))
    return folder / "scratch"


@dataclass(frozen=True, slots=True)
class Away:
    """It copies the source, unless it is to end in another way."""

    ending: str = ""
    """`refuses`, `raises`, `aborts`, `hangs`, or nothing."""
    words: tuple[str, ...] = ("two", "words")
    name: str = "away"
    engine: str = "onnxruntime"
    summary: str = "made elsewhere"
    needs: tuple[str, ...] = ()
    tool: str | None = "here"
    calibrates: bool = True
    is_candidate: bool = False

    def refuses(self, source: Source) -> str | None:
        return None

    def make(self, source: Source, rows: Rows | None, folder: Path, options: Options, progress: Progress) -> Made:
        print("what a library prints is no answer")  # noqa: T201
        progress(f"process {os.getpid()}", 0.5)
        main = Path(shutil.copy(source.path, folder / "model.onnx"))
        (folder / "beside.bin").write_bytes(b"beside")
        match self.ending:
            case "refuses":
                raise QuantizeError("this is too small; make it larger")
            case "raises":
                raise ZeroDivisionError("by nothing")
            case "aborts":
                print("no such kernel", file=sys.stderr, flush=True)  # noqa: T201
                os.abort()
            case "hangs":
                signal.pause()
        details = {
            "digest": rows.digest if rows else None,
            "network": source.network,
            "excluded": options.exclude,
            "words": self.words,
            "niceness": os.nice(0),
            "elsewhere": [path for path in sys.path if (Path(path) / "app").exists()],
        }
        return Made(main, {"beside.bin": folder / "beside.bin"}, details)
