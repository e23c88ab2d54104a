"""Everything that is found out about one variant, joined into its report."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from engines.engine import Engine, OpenEngine
from engines.measure import Split
from engines.quantize.answers import Answering
from engines.quantize.batch_mates import batch_mates
from engines.quantize.gate import Limits, judge
from engines.quantize.layers import measure_layers
from engines.quantize.quality import compare
from engines.quantize.recipe import Made, Progress, Source
from engines.quantize.report import BatchMates, Lineage, Report
from engines.quantize.rows import Rows
from engines.quantize.scores import default_metric
from engines.quantize.speed import Contender, compare_speed
from engines.quantize.turns import Clock
from engines.signature import Signature

BUDGET_SECONDS = 3.0
_MOST_ROWS = 32  # in a batch that is measured, where the engine sets no bound


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: everything the report says of it that is known before."""

    model: str
    version: str
    variant: str
    engine: str
    recipe: str
    source_digest: str
    source_bytes: int
    seconds: float
    """To make the variant."""
    calibration: str | None
    """Digest of the calibration rows; None for a recipe that reads none."""
    seed: int


@dataclass(frozen=True, slots=True)
class Openers:
    """How the engine of the source is opened, and that of the variant."""

    source: OpenEngine
    variant: OpenEngine


def measure(
    subject: Subject,
    source: Source,
    made: Made,
    openers: Openers,
    rows: Rows,
    limits: Limits,
    *,
    metric: str | None,
    cores: int,
    progress: Progress,
    budget_seconds: float = BUDGET_SECONDS,
    clock: Clock = perf_counter,
) -> Report:
    """Run both on the evaluation rows, time both, look into the layers, and judge.

    `metric` is a name as `read_metric` knows, or None for the one that suits the model. `budget_seconds` is for the
    speed. Raises QuantizeError, DataError, LoadError, and what a run raises.
    """
    metric = metric or default_metric(source, rows.has_labels)
    progress("batch mates", 0.0)
    with (
        _opened(source.path, source.signature, openers.source, rows, cores) as before,
        _opened(made.main, source.signature, openers.variant, rows, cores) as after,
    ):
        progress("quality", 0.1)
        quality = compare(before.answering, after.answering, rows, metric, subject.seed)
    progress("speed", 0.4)
    speed = compare_speed(before.contender, after.contender, rows, cores, budget_seconds, clock)
    progress("layers", 0.8)
    layers = measure_layers(source, made.main, rows)
    progress("done", 1.0)
    return Report(
        model=subject.model,
        version=subject.version,
        variant=subject.variant,
        engine=subject.engine,
        recipe=subject.recipe,
        bytes=sum(path.stat().st_size for path in (made.main, *made.external.values())),
        source_bytes=subject.source_bytes,
        seconds=subject.seconds,
        quality=quality,
        speed=speed,
        batch_mates=after.mates,
        layers=layers,
        verdict=judge(quality, speed, after.mates, limits),
        lineage=Lineage(subject.source_digest, subject.calibration, rows.digest, subject.seed, dict(made.details)),
    )


class _Side(NamedTuple):
    """The source or the variant, as it would be served."""

    mates: BatchMates
    answering: Answering
    contender: Contender


@contextmanager
def _opened(path: Path, signature: Signature, load: OpenEngine, rows: Rows, cores: int) -> Iterator[_Side]:
    """All cores on one row or batch; closed in the end, but for the contender, which opens for itself."""

    def opened(split: Split) -> Engine:
        return load(path, signature, instances=split.instances, threads=split.threads)

    engine = opened(Split(1, cores))
    try:
        runner = engine.runner()
        mates = batch_mates(engine, runner, rows)
        most_rows = (engine.max_rows or _MOST_ROWS) if mates.batched else 1
        yield _Side(mates, Answering(runner, signature, mates.batched), Contender(opened, signature, most_rows))
    finally:
        engine.close()
