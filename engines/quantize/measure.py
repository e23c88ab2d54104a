"""Everything that is found out about one variant, joined into its report."""

from dataclasses import dataclass
from time import perf_counter

from engines.engine import OpenEngine
from engines.quantize.gate import Limits, judge
from engines.quantize.layers import measure_layers
from engines.quantize.quality import compare
from engines.quantize.recipe import Made, Progress
from engines.quantize.reference import Reference
from engines.quantize.report import Lineage, Report
from engines.quantize.scores import default_metric
from engines.quantize.sides import opened
from engines.quantize.speed import compare_speed
from engines.quantize.turns import Clock

BUDGET_SECONDS = 3.0


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


def measure(
    subject: Subject,
    reference: Reference,
    made: Made,
    load: OpenEngine,
    limits: Limits,
    *,
    metric: str | None,
    progress: Progress,
    budget_seconds: float = BUDGET_SECONDS,
    clock: Clock = perf_counter,
) -> Report:
    """Run the variant on the reference's rows, time both, look into the layers, and judge.

    `load` is that of the variant's engine. `metric` is a name as `read_metric` knows, or None for the one that suits
    the model. `budget_seconds` is for the speed. Raises QuantizeError, DataError, LoadError, and what a run raises.
    """
    source, rows, cores = reference.source, reference.rows, reference.cores
    metric = metric or default_metric(source, rows.has_labels)
    progress("batch mates", 0.0)
    with opened(made.main, source.signature, load, rows, cores) as variant:
        progress("quality", 0.1)
        quality = compare(reference, variant.answering, rows, metric, subject.seed)
    progress("speed", 0.4)
    speed = compare_speed(reference.contender(), variant.contender, rows, cores, budget_seconds, clock)
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
        batch_mates=variant.mates,
        layers=layers,
        verdict=judge(quality, speed, variant.mates, limits),
        lineage=Lineage(subject.source_digest, subject.calibration, rows.digest, subject.seed, dict(made.details)),
    )
