"""Runs a module of this package in a process of its own.

For native code that reads a stranger's file: onnx's shape inference and ONNX Runtime end the process on some files
instead of raising (a Split of two outputs that says it has one, to name one).
"""

import signal
import subprocess
import sys
from typing import NoReturn

from engines.errors import ModelFileError

_MOST_SECONDS = 120
_REFUSED = 3  # not 1, with which Python ends after an exception that nobody foresaw


def run_apart(module: str, argument: str, stdin: bytes = b"") -> bytes:
    """What `python -m MODULE ARGUMENT` writes to its standard output.

    Raises ModelFileError: with the words that the module gave to `refuse`, or saying how its process ended.
    """
    command = [sys.executable, "-P", "-m", module, argument]  # -P: the current folder may have an `engines` of its own
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=_MOST_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ModelFileError(f"the model was not read within {_MOST_SECONDS} s; export it smaller") from None
    if done.returncode == _REFUSED:
        raise ModelFileError(done.stderr.decode(errors="replace").strip())
    if done.returncode:
        raise ModelFileError(
            f"the model is broken in a way that ends the process which reads it ({_ending(done.returncode)}); "
            "export it again"
        )
    return done.stdout


def refuse(words: str) -> NoReturn:
    """Called in the other process: the file is no good, for this reason."""
    print(words, file=sys.stderr)  # noqa: T201
    sys.exit(_REFUSED)


def _ending(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"
