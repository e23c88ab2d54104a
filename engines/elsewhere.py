"""Runs a module of this package by the Python of another environment, and hears what it tells while it works.

    PYTHON -m MODULE QUESTION    a file of JSON; lines of JSON come back on the standard output

The child sees this package and its own environment's, no more. It ends with its parent, and at its time.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import engines
from engines.errors import EngineError


class Tell(Protocol):
    """How a child answers: each call is a line of JSON."""

    def __call__(self, **answer: object) -> None: ...


def python_of(tool: str) -> Path:
    """Where the Python of an environment of its own lies, if `make tools` has set it up.

    Not resolved: by where its link lies it knows its packages.
    """
    return Path(os.environ.get("OCTET_TOOLS", "build/tools")).absolute() / tool / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Child:
    """A process that works on a question."""

    _process: "subprocess.Popen[bytes]"
    _log: Path
    """What it and its libraries print."""
    _most_seconds: float | None

    def answers(self) -> Iterator[dict[str, Any]]:
        """What it tells, as it comes."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith(b"\n"):  # else it ended while it wrote
                yield json.loads(line)

    def ending(self) -> str:
        """How it ended, once it has no more to tell: `its process was ended by SIGSEGV; it said last: ...`."""
        code = self._process.wait()
        if code == -signal.SIGALRM:
            return f"it was not done within {self._most_seconds:g} s"
        if code == -signal.SIGKILL:
            return "its process was ended by SIGKILL, as is done where memory runs short; make model or data smaller"
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        said = self._log.read_text(errors="replace").split("\n")
        return (
            f"its process was {how}; it said last: {next((line for line in reversed(said) if line.strip()), 'nothing')}"
        )


@contextmanager
def asking(
    python: Path, module: str, question: dict[str, Any], *, most_seconds: float | None = None
) -> Iterator[Child]:
    """A child that works on the question, for `most_seconds`. However this ends, nothing is left of it."""
    with TemporaryDirectory(prefix="octet-tools-") as scratch:
        written = Path(scratch, "question.json")
        written.write_text(json.dumps({"most_seconds": most_seconds, "question": question}))
        # Beside this package lie others, in a site-packages of its own Python: the child shall see this one alone.
        Path(scratch, "engines").symlink_to(Path(engines.__file__).parent, target_is_directory=True)
        paths = [scratch, *filter(None, [os.environ.get("PYTHONPATH")])]
        log = Path(scratch, "log")
        with (
            log.open("wb") as printed,
            subprocess.Popen(
                [python, "-P", "-m", module, written],
                stdin=subprocess.PIPE,  # never written to: it closes with this process, which the child waits for
                stdout=subprocess.PIPE,
                stderr=printed,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
                process_group=0,  # of the same session: in one of its own, Linux would weigh its priority apart
            ) as process,
        ):
            try:
                yield Child(process, log, most_seconds)
            finally:
                with suppress(ProcessLookupError):  # the last of the group is gone already
                    os.killpg(process.pid, signal.SIGKILL)


# ---- in the child


def answer(work: Callable[[dict[str, Any], Tell], None], name: Callable[[dict[str, Any]], str]) -> None:
    """The process: read the question and work on it. What `work` raises is told as `failed`.

    An EngineError in its own words, all else with its type and what `name` makes of the question.
    """
    asked = json.loads(Path(sys.argv[1]).read_text())
    if asked["most_seconds"] is not None:
        signal.setitimer(signal.ITIMER_REAL, asked["most_seconds"])  # ends it in native code too: nobody catches it
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer

    def tell(**told: object) -> None:
        os.write(answers, json.dumps(told).encode() + b"\n")

    try:
        work(asked["question"], tell)
    except EngineError as error:
        tell(failed=str(error))
    except Exception as error:  # noqa: BLE001  libraries raise whatever they like
        tell(failed=f"{name(asked['question'])} failed with {type(error).__name__}: {error}")


def _end_with_the_parent() -> None:
    """Wait for the end of the pipe. What hangs in native code cannot be asked to stop, so nothing is asked."""
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)
