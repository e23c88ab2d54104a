"""LiteRT on the CPU: .tflite files, of which most run batches of one size or of a few."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from engines.batch_mates import TOLERANCE, changes
from engines.engine import Array, Arrays, Runner
from engines.errors import EngineError, InputRefused, LoadError, RunError
from engines.litert_file import Function, Opened, litert_message
from engines.samples import sample_inputs
from engines.signature import Signature

# An interpreter keeps the words of every failure, and says all of them at the next. One this talkative is replaced.
_MOST_WORDS = 100_000
# What no other inputs would mend.
_NOT_THE_CALLER = re.compile(r"memory|[Aa]llocat|unsupported|inconsistent")


def load(path: Path, signature: Signature, *, instances: int, threads: int) -> "LiteRtEngine":
    """Open a .tflite file for `instances` workers of `threads` threads each. Raises LoadError.

    Each worker has an interpreter of its own; the file, and so the weights in it, is mapped once.
    """
    texts = [spec.name for spec in (*signature.inputs, *signature.outputs) if spec.dtype == "string"]
    if texts:
        raise LoadError(f"LiteRT runs no text here, and {texts} are string; serve this model with onnxruntime")
    open_file = partial(Opened, path, signature, threads)
    if _mixes_rows(_LiteRtRunner(open_file, signature)):
        open_file = partial(open_file, any_rows=False)
    runners = [_LiteRtRunner(open_file, signature) for _ in range(instances)]
    for runner in runners:
        runner.try_out()
    return LiteRtEngine(signature, runners)


def cover(rows: int, sizes: Sequence[int]) -> list[int]:
    """The sizes of the runs that so many rows take, one after another: `sizes` are those there are, ascending.

    The largest that can be filled, and only the last run may be larger than what is left. To fill up more is not worth
    it: of the digits model in INT8 a row alone takes 46 us, one of eight 42.
    """
    runs: list[int] = []
    left = rows
    while left > 0 or not runs:
        runs.append(max((size for size in sizes if size <= left), default=sizes[0]))
        left -= runs[-1]
    return runs


class LiteRtEngine:
    """A loaded model; see `engines.engine.Engine`."""

    name: str = f"litert {version('ai-edge-litert')}"
    max_rows: int | None = None

    def __init__(self, signature: Signature, runners: list["_LiteRtRunner"]) -> None:
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


class _DimensionsRefused(InputRefused):
    """The file takes no inputs of these dimensions."""


class _LiteRtRunner:
    """Splits batches, and fills them up, to the sizes that the file has. LiteRT copies arrays in and out."""

    def __init__(self, open_file: Callable[[], Opened], signature: Signature) -> None:
        self.signature = signature
        self._open_file = open_file
        self._is_batched = signature.batch_axis is not None
        self._open()
        self._takes_nan = not self._opened.is_quantized()

    def _open(self) -> None:
        self._opened = self._open_file()
        self._functions = self._opened.functions
        self._sizes = sorted(rows for rows in self._functions if rows is not None)
        self._said = ""

    @property
    def takes_any_rows(self) -> bool:
        """Whether it runs batches of any size, by what the file says of itself."""
        return self._is_batched and None in self._functions

    def run(self, inputs: Arrays) -> dict[str, Array]:
        if not self._takes_nan:
            _refuse_nan(inputs)
        if not self._is_batched:
            return self._call(self._functions[None], inputs)
        rows = len(next(iter(inputs.values())))
        runs = [max(rows, 1)] if self.takes_any_rows else cover(rows, self._sizes)
        if runs == [rows]:
            return self._run_rows(inputs, rows)
        answers = [self._run_rows(some, size) for size, some in zip(runs, _cut(inputs, runs), strict=True)]
        return {name: np.concatenate([answer[name] for answer in answers])[:rows] for name in answers[0]}

    def try_out(self) -> None:
        """Run each function on made-up rows. Raises LoadError for what no other rows would mend."""
        for rows, function in self._functions.items():
            try:
                self._run_twice(sample_inputs(self.signature, rows or 1, seed=0))
            except RunError as error:
                raise LoadError(f"the file cannot be run: {error}") from None
            except _DimensionsRefused as error:
                if function.is_fixed:
                    raise LoadError(f"the file cannot be run: {error}") from None
            except InputRefused:  # made-up values; others may do
                pass

    def _run_twice(self, inputs: Arrays) -> None:
        first, second = self.run(inputs), self.run(inputs)
        for name, array in first.items():
            if array.tobytes() != second[name].tobytes():
                raise LoadError(
                    f"the file gives another '{name}' when it is run on the same rows again: it keeps a state or draws "
                    "random numbers; export it without"
                )

    def _run_rows(self, inputs: Arrays, rows: int) -> dict[str, Array]:
        answer = self._call(self._functions.get(None) or self._functions[rows], inputs)
        for name, array in answer.items():
            if array.shape[:1] != (rows,):
                raise RunError(f"output '{name}' of the file has the shape {list(array.shape)} for {rows} rows")
        return answer

    def _call(self, function: Function, inputs: Arrays) -> dict[str, Array]:
        sent = {port.key: port.convert(inputs[port.name]) for port in function.inputs}
        try:
            answer = function.call(**sent)
        except (RuntimeError, ValueError, MemoryError) as error:
            raise self._run_error(error, inputs) from None
        return {port.name: port.convert(answer[port.key]) for port in function.outputs}

    def _run_error(self, error: Exception, inputs: Arrays) -> InputRefused | RunError:
        """Who is at fault. What a file cannot do with these inputs, it could do with others: it was tried out."""
        words = litert_message(str(error).removeprefix(self._said))
        self._said = str(error)
        if len(self._said) > _MOST_WORDS:
            with suppress(LoadError):
                self._open()
        if isinstance(error, MemoryError) or _NOT_THE_CALLER.search(words):
            return RunError(f"LiteRT failed while running: {words}")
        if "failed to prepare" in words:
            shapes = {name: array.shape for name, array in inputs.items()}
            return _DimensionsRefused(f"the model refused the dimensions {shapes}: {words}")
        return InputRefused(f"the model refused these values{_ranges(inputs)}: {words}")


def _mixes_rows(runner: _LiteRtRunner) -> bool:
    """Whether a file that takes any number of rows answers them otherwise together than alone."""
    if not runner.takes_any_rows:
        return False
    try:
        rows = sample_inputs(runner.signature, 3, seed=0)
        return any(change.difference > TOLERANCE for change in changes(runner, rows))
    except EngineError:
        return True


def _refuse_nan(inputs: Arrays) -> None:
    for name, array in inputs.items():
        if array.dtype.kind not in "iub" and np.isnan(array).any():
            raise InputRefused(
                f"'{name}' holds NaN, for which this variant's integers have no value; ask for the variant fp32"
            )


def _cut(inputs: Arrays, runs: Sequence[int]) -> Iterator[Arrays]:
    """The rows of each run, the last one filled up with copies of the last row; zeros where there is none."""
    start = 0
    for size in runs:
        yield {name: _filled(array[start : start + size], size) for name, array in inputs.items()}
        start += size


def _filled(array: Array, size: int) -> Array:
    if len(array) == size:
        return array
    last = array[-1:] if len(array) else np.zeros((1, *array.shape[1:]), array.dtype)
    return np.concatenate([array, np.repeat(last, size - len(array), axis=0)])


def _ranges(inputs: Arrays) -> str:
    """The integers, of which one is often an index beyond its table."""
    texts = [
        f"'{name}' from {array.min()} to {array.max()}"
        for name, array in inputs.items()
        if array.dtype.kind in "iu" and array.size
    ]
    return f" ({', '.join(texts)})" if texts else ""
