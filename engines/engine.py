"""What every engine offers: a variant is loaded once, and each worker gets a runner of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from engines.signature import Signature

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Array]
"""Named tensors. Numeric arrays are C-contiguous in the dtype of the signature; `string` arrays hold `str` objects."""


class Runner(Protocol):
    """What one worker owns: an execution context, an infer request, an interpreter.

    Runs one batch at a time, from whichever thread the worker says.
    """

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """Run once. `inputs` has exactly the signature's inputs with shapes that fit it; the answer all its outputs.

        The caller owns the arrays that come back; the engine keeps no reference to either side.
        Raises InputRefused when the values are the fault, RunError for all else.
        """
        ...


class Engine(Protocol):
    """One loaded variant. Thread-safe; `runner` is called once for each worker."""

    name: str
    """The engine's name and, after a blank, its version: `onnxruntime 1.32.0`."""
    signature: Signature
    max_rows: int | None
    """The most rows a run may hold (a TensorRT profile), or None where any number runs.

    A fixed shape inside is the engine's own affair: it pads and trims.
    """

    def runner(self) -> Runner:
        """What one more worker runs batches with. Raises LoadError when no further one fits, and after `close`."""
        ...

    def close(self) -> None:
        """Free what the engine holds; a second time does nothing. No runner may be running or run again."""
        ...


class OpenEngine(Protocol):
    """An engine module's `load`: the file opened for `instances` workers of `threads` threads. Raises LoadError."""

    def __call__(self, path: Path, signature: Signature, *, instances: int, threads: int) -> Engine: ...
