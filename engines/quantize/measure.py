"""Everything that is found out about one variant, joined into its report."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

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

BUDGET_SECONDS = 6.0
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
    clock: Callable[[], float] = perf_counter,
) -> Report:
    """Run both on the evaluation rows, time both, look into the layers, and judge.

    `budget_seconds` is for the speed. Raises QuantizeError, DataError, LoadError, and what a run raises.
    """
    with ExitStack() as stack:

        def answering(path: Path, load: OpenEngine) -> tuple[Answering, BatchMates, int]:
            engine = load(path, source.signature, instances=2, threads=1)
            stack.callback(engine.close)
            mates = batch_mates(engine, rows)
            most_rows = (engine.max_rows or _MOST_ROWS) if mates.batched else 1
            return Answering(engine.runner(), source.signature, mates.batched), mates, most_rows

        progress("batch mates", 0.0)
        first, _, source_rows = answering(source.path, openers.source)
        second, mates, variant_rows = answering(made.main, openers.variant)
        progress("quality", 0.1)
        quality = compare(first, second, rows, metric or default_metric(source, rows.has_labels), subject.seed)
    progress("speed", 0.4)
    speed = compare_speed(
        _contender(source, source.path, openers.source, source_rows),
        _contender(source, made.main, openers.variant, variant_rows),
        rows,
        cores,
        budget_seconds,
        clock,
    )
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
        batch_mates=mates,
        layers=layers,
        verdict=judge(quality, speed, mates, limits),
        lineage=Lineage(subject.source_digest, subject.calibration, rows.digest, subject.seed, dict(made.details)),
    )


def _contender(source: Source, path: Path, load: OpenEngine, most_rows: int) -> Contender:
    def opened(split: Split) -> Engine:
        return load(path, source.signature, instances=split.instances, threads=split.threads)

    return Contender(opened, source.signature, most_rows)
