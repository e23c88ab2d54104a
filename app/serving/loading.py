"""From a verified model file to what a servable needs: engine, warm runners, measured costs, whether rows may mix.

Everything here blocks and runs in a thread of its own while the old servable goes on answering.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Protocol

from app.serving.batch import group_of
from app.serving.cost import CostTable, worth_joining
from app.serving.golden import Reference, batch_of, check
from app.serving.parity import batch_dependence
from app.settings import ModelSettings
from engines.engine import Arrays, Engine, OpenEngine, Runner
from engines.errors import EngineError
from engines.measure import Measured, Split, choose_split
from engines.samples import sample_inputs
from engines.signature import Signature

# Time for the N x T probe of a model that this machine has not seen yet.
PROBE_SECONDS = 1.0
# Rows that the check of batch mates uses: every power of two up to it, every position.
_PARITY_ROWS = 4
# Times a batch of each size is run before its cost is believed; the first one allocates.
_WARM_RUNS = 3
# A batch that takes so long is the largest to be tried: its first row would wait for its last.
_LONG_SECONDS = 0.2


class Memory(Protocol):
    """What this machine measured before about this very file."""

    def recall(self) -> bytes | None: ...

    def remember(self, value: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """What `load` hands over; the servable owns it."""

    engine: Engine
    runners: list[Runner]
    cost: CostTable
    most_rows: int
    """How many rows a batch may have: as set, as the engine can, and as was found worth it."""
    batched: bool
    notes: tuple[str, ...]
    split: Split


def load(
    path: Path,
    signature: Signature,
    open_engine: OpenEngine,
    settings: ModelSettings,
    cores: int,
    memory: Memory,
    reference: Reference | None = None,
) -> Loaded:
    """Open, warm up and judge a variant, against its reference where it has one.

    Raises EngineError when it cannot serve, AnswersDiffer when it must not.
    """
    split = _split(path, signature, open_engine, settings, cores, memory)
    engine = open_engine(path, signature, instances=split.instances, threads=split.threads)
    try:
        runners = [engine.runner() for _ in range(split.instances)]
        most_rows = min(settings.max_batch_rows, engine.max_rows or settings.max_batch_rows)
        batched, notes = _judge(engine, runners[0], reference, most_rows)
        most_rows = most_rows if batched else 1
        cost, most_rows = _warm_up(signature, runners, most_rows)
    except BaseException:
        engine.close()
        raise
    return Loaded(engine, runners, cost, most_rows, batched, notes, split)


def _split(
    path: Path, signature: Signature, open_engine: OpenEngine, settings: ModelSettings, cores: int, memory: Memory
) -> Split:
    """Instances and threads: as set, as remembered, or as measured now."""
    if settings.instances is not None and settings.threads is not None:
        return Split(settings.instances, settings.threads)
    best = _remembered(memory)
    if best is None:
        measured = choose_split(
            lambda split: open_engine(path, signature, instances=split.instances, threads=split.threads),
            cores,
            PROBE_SECONDS,
        )
        memory.remember(measured.to_json())
        best = measured.split
    return Split(settings.instances or best.instances, settings.threads or best.threads)


def _remembered(memory: Memory) -> Split | None:
    known = memory.recall()
    try:
        return None if known is None else Measured.from_json(known).split
    except (ValueError, KeyError, TypeError):  # written by another version: measure anew
        return None


def _judge(engine: Engine, runner: Runner, reference: Reference | None, most_rows: int) -> tuple[bool, tuple[str, ...]]:
    """Whether requests may share batches, and what the status should say about it. Raises AnswersDiffer."""
    if reference is None:
        return _may_batch(engine.signature, runner, lambda: sample_inputs(engine.signature, _PARITY_ROWS, seed=0))
    rows = batch_of(reference, most_rows)
    batched, notes = _may_batch(engine.signature, runner, lambda: rows.inputs)
    if batched and not reference.batched:
        batched, notes = False, ("served unbatched, as it was measured when it was made",)
    check(engine, runner, reference, rows if batched else reference.golden, batched=batched)
    return batched, notes


def _may_batch(signature: Signature, runner: Runner, rows: Callable[[], Arrays]) -> tuple[bool, tuple[str, ...]]:
    if signature.batch_axis is None:
        return False, ("served unbatched: the model has no dynamic batch axis",)
    try:
        difference = batch_dependence(runner, rows())
    except EngineError as error:
        return True, (f"batch mates not checked: the model refused the rows ({error})",)
    if difference is not None:
        return False, (f"served unbatched: {difference}",)
    return True, ()


def _warm_up(signature: Signature, runners: list[Runner], most_rows: int) -> tuple[CostTable, int]:
    """Run every runner, and learn from the first one what batches cost and how many rows are worth joining."""
    cost = CostTable()
    rows, seconds = 1, 0.0
    try:
        for runner in runners[1:]:
            runner.run(sample_inputs(signature, 1, seed=0))
        while rows <= most_rows and seconds < _LONG_SECONDS:
            inputs = sample_inputs(signature, rows, seed=0)
            seconds = min(_timed(runners[0], inputs) for _ in range(_WARM_RUNS))
            cost.observe(group_of(inputs) if signature.batch_axis is not None else None, rows, seconds)
            rows *= 2
    except EngineError:  # made-up rows are refused; real ones will be measured as they come
        return cost, most_rows
    return cost, worth_joining(cost.by_rows(), most_rows)


def _timed(runner: Runner, inputs: Arrays) -> float:
    started = perf_counter()
    runner.run(inputs)
    return perf_counter() - started
