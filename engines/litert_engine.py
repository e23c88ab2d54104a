"""LiteRT on the CPU: .tflite files."""

from functools import partial
from importlib.metadata import version
from pathlib import Path

from engines.batch_mates import TOLERANCE, changes
from engines.engine import Runner
from engines.errors import EngineError, LoadError
from engines.litert_file import Opened
from engines.litert_runner import LiteRtRunner
from engines.samples import sample_inputs
from engines.signature import Signature


def load(path: Path, signature: Signature, *, instances: int, threads: int) -> "LiteRtEngine":
    """Open a .tflite file for `instances` workers of `threads` threads each. Raises LoadError.

    Each worker has an interpreter of its own; the file, and so the weights in it, is mapped once.
    """
    texts = [spec.name for spec in (*signature.inputs, *signature.outputs) if spec.dtype == "string"]
    if texts:
        raise LoadError(f"LiteRT runs no text here, and {texts} are string; serve this model with onnxruntime")
    open_file = partial(Opened, path, signature, threads)
    if _mixes_rows(LiteRtRunner(open_file, signature)):
        open_file = partial(open_file, any_rows=False)
    runners = [LiteRtRunner(open_file, signature) for _ in range(instances)]
    for runner in runners:
        runner.try_out()
    return LiteRtEngine(signature, runners)


class LiteRtEngine:
    """A loaded model; see `engines.engine.Engine`."""

    name: str = f"litert {version('ai-edge-litert')}"
    max_rows: int | None = None

    def __init__(self, signature: Signature, runners: list[LiteRtRunner]) -> None:
        """`runners` holds one for each instance."""
        self.signature = signature
        self._runners = runners

    def runner(self) -> Runner:
        """The next runner that nobody has."""
        if not self._runners:
            raise LoadError("all instances that the engine was opened with have their runner")
        return self._runners.pop()

    def close(self) -> None:
        """Let go of the runners; each frees its interpreter."""
        self._runners = []


def _mixes_rows(runner: LiteRtRunner) -> bool:
    """Whether a file that takes any number of rows answers them otherwise together than alone."""
    if not runner.takes_any_rows:
        return False
    try:
        rows = sample_inputs(runner.signature, 3, seed=0)
        return any(change.difference > TOLERANCE for change in changes(runner, rows))
    except EngineError:
        return True
