"""Runs one .tflite file, of which most take batches of one size or of a few."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import numpy as np

from engines.engine import Array, Arrays
from engines.errors import InputRefused, LoadError, RunError
from engines.litert_file import Function, Opened, litert_message
from engines.samples import sample_inputs
from engines.signature import Signature

# An interpreter keeps the words of every failure, and says all of them at the next. One this talkative is replaced.
_MOST_WORDS = 100_000
# What no other inputs would mend.
_NOT_THE_CALLER = re.compile(r"memory|[Aa]llocat|unsupported|inconsistent")


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


class _DimensionsRefused(InputRefused):
    """The file takes no inputs of these dimensions."""


class LiteRtRunner:
    """See `engines.engine.Runner`. Splits batches, and fills them up, to sizes that the file has; LiteRT copies."""

    def __init__(self, open_file: Callable[[], Opened], signature: Signature) -> None:
        """`open_file` gives an interpreter that nobody else has, each time it is called."""
        self.signature = signature
        self._open_file = open_file
        self._is_batched = signature.batch_axis is not None
        self._open()
        self._takes_nan = not self._opened.is_quantized

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
        said = str(error)
        words = litert_message(said.removeprefix(self._said))
        if said.startswith(self._said):
            self._said = said
        if len(self._said) > _MOST_WORDS:
            with suppress(LoadError):
                self._open()
        if isinstance(error, MemoryError) or _NOT_THE_CALLER.search(words):
            return RunError(f"LiteRT failed while running: {words}")
        if "failed to prepare" in words:
            shapes = {name: array.shape for name, array in inputs.items()}
            return _DimensionsRefused(f"the model refused the dimensions {shapes}: {words}")
        return InputRefused(f"the model refused these values{_ranges(inputs)}: {words}")


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
