"""Measures how fast a variant is beside its source, in a process of its own at low priority.

For a host that is to serve a variant which was measured on another one. `python -m`, JSON in, JSON out.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

from pydantic import TypeAdapter

from engines.background import give_way
from engines.engine import OpenEngine
from engines.quantize.golden import Golden, read_golden
from engines.quantize.report import Speedup
from engines.quantize.rows import Batch, Rows
from engines.quantize.sides import Side, opened
from engines.quantize.speed import compare_speed
from engines.signature import Signature

_BUDGET_SECONDS = 6.0


@dataclass(frozen=True, slots=True)
class Artifact:
    """One of the two."""

    engine: str
    """`onnxruntime` is `engines.onnxruntime_engine`."""
    path: Path
    plan: dict[str, Any] | None = None
    """Of TensorRT, what `engines.tensorrt.opener` takes."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be measured."""

    signature: dict[str, Any]
    golden: Path
    """Of the variant: the rows to run."""
    source: Artifact
    variant: Artifact
    cores: int
    """How many workers share the load."""

    def to_json(self) -> bytes:
        """For the standard input of the process."""
        return _QUESTION.dump_json(self)


_QUESTION = TypeAdapter(Question)
_ANSWER = TypeAdapter(Speedup)


def read_answer(text: bytes) -> Speedup:
    """What the process wrote to its standard output. Raises ValueError."""
    return _ANSWER.validate_json(text)


class _GoldenRows:
    """See `engines.quantize.rows.Rows`."""

    digest = ""
    has_labels = False

    def __init__(self, golden: Golden) -> None:
        self._inputs = golden.inputs
        self.count = len(next(iter(golden.inputs.values())))

    def batches(self, rows: int) -> Iterator[Batch]:
        for start in range(0, self.count, rows):
            yield Batch({name: array[start : start + rows] for name, array in self._inputs.items()}, None)


def measured(question: Question) -> Speedup:
    """Both by turns, each in batches where its rows may share them.

    Raises EngineError, ValueError, KeyError and OSError.
    """
    signature = Signature.from_json(question.signature)
    rows = _GoldenRows(read_golden(question.golden, signature))
    source, variant = (_side(one, signature, rows, question.cores) for one in (question.source, question.variant))
    speed = compare_speed(source.contender, variant.contender, rows, question.cores, _BUDGET_SECONDS, perf_counter)
    return Speedup(speed.throughput_ratio, speed.batch_1_ratio, variant.mates.batched)


def _side(artifact: Artifact, signature: Signature, rows: Rows, cores: int) -> Side:
    with opened(artifact.path, signature, _how_opened(artifact), rows, cores) as side:
        return side


def _how_opened(artifact: Artifact) -> OpenEngine:
    if artifact.plan is not None:
        opens: OpenEngine = import_module("engines.tensorrt.opener").opener(**artifact.plan)
    else:
        opens = import_module(f"engines.{artifact.engine.replace('-', '_')}_engine").load
    return opens


def main() -> None:
    """The process."""
    give_way()
    question = _QUESTION.validate_json(sys.stdin.buffer.read())
    sys.stdout.buffer.write(_ANSWER.dump_json(measured(question)))


if __name__ == "__main__":
    main()
