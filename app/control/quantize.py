"""From a version to its variants: make each, measure it beside the source, judge it, store it, and keep its speed here.

source from the store -> for each recipe: make -> measure -> gate -> store with its report -> remember the speed
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from app.control.rungs import engines_for, has_gpu
from app.control.selection import AUTO, PUBLISHED, ladder
from app.control.speeds import SpeedMemory
from engines.engine import OpenEngine
from engines.errors import EngineError, QuantizeError
from engines.machine import usable_cores
from engines.quantize import tools
from engines.quantize.answers import Answering
from engines.quantize.gate import Limits, is_accurate
from engines.quantize.golden import write_golden
from engines.quantize.imported import Imported
from engines.quantize.layers import worst_layer
from engines.quantize.measure import Subject, measure
from engines.quantize.metrics import read_metric
from engines.quantize.open_rows import open_rows
from engines.quantize.recipe import Made, Options, Recipe, Source
from engines.quantize.recipes import FROM_NETWORK, RECIPES
from engines.quantize.reference import Reference
from engines.quantize.report import Report, Speedup, to_json
from engines.quantize.rows import Rows, RowsSpec
from engines.signature import Signature
from model_store.errors import Conflict, StorageFailed
from model_store.records import NewVariant, VariantRecord, VersionRecord
from model_store.store import Store

# Beyond it, what is left would hardly be quantized.
_MOST_EXCLUDED = 8

Progress = Callable[[str, str, float], None]
"""Called with the variant, what is being done with it, and the share that is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be tried, on which rows, and what a variant must keep to."""

    calibration: RowsSpec
    evaluation: RowsSpec
    limits: Limits
    recipes: tuple[str, ...] = ()
    """Names; none, and nothing imported, means every candidate that fits."""
    imported: tuple[Imported, ...] = ()
    options: Options = field(default_factory=Options)
    metric: str | None = None
    exclude_auto: bool = False
    """Leave the worst layers as they are, one at a time, until the drop is allowed."""
    network: str | None = None
    """`module:function`, as in `engines.quantize.recipe.Source`; with it, recipes that start there are candidates."""
    fine_tune: str | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one recipe: a report, or why there is none."""

    recipe: str
    report: Report | None
    why_not: str = ""


class Quantizing:
    """One run over one version. Made once its rows are known to fit."""

    def __init__(self, store: Store, record: VersionRecord, wish: Wish, open_engines: Mapping[str, OpenEngine]) -> None:
        """Raises QuantizeError for a recipe that does not exist, DataError for rows and metrics that do not fit."""
        self._store = store
        self._record = record
        self._wish = wish
        self._open_engines = open_engines
        self.recipes = (*wish.imported, *_chosen(wish))
        """Those that `run` will try, in this order."""
        published = record.variants[0]
        signature = Signature.from_json(record.signature)
        self._source = Source(store.materialise(record, published.name), signature, wish.network, wish.fine_tune)
        self._calibration = open_rows(wish.calibration, signature)
        evaluation = open_rows(wish.evaluation, signature)
        if wish.metric is not None:
            read_metric(wish.metric, signature, evaluation.has_labels)  # to hear now of one that cannot be
        self._reference = Reference(self._source, open_engines[published.engine], evaluation, usable_cores())

    def run(self, progress: Progress) -> Iterator[Tried]:
        """Try each recipe and give what came of it. A recipe that fails leaves nothing, and the next one is tried.

        Raises StorageFailed where the disk is full, say; what is stored by then stays.
        """
        with closing(self._reference):
            for recipe in self.recipes:
                try:
                    yield self._try(recipe, progress)
                except (EngineError, Conflict) as error:
                    yield Tried(recipe.name, None, str(error))
                except OSError as error:
                    words = f"{recipe.name} was not made: {error}. Look at the disk and try again."
                    raise StorageFailed(words) from error

    def _try(self, recipe: Recipe, progress: Progress) -> Tried:
        why_not = tools.missing(recipe) or recipe.refuses(self._source)
        if why_not is not None:
            return Tried(recipe.name, None, f"skipped: {why_not}")
        with TemporaryDirectory(prefix="octet-quantize-") as folder:
            return self._make_and_measure(recipe, Path(folder), progress)

    def _make_and_measure(self, recipe: Recipe, folder: Path, progress: Progress) -> Tried:
        options = self._wish.options
        while True:
            attempt = folder / str(len(options.exclude))
            attempt.mkdir()
            made, report = self._attempt(recipe, attempt, options, progress)
            worst = next_excluded(report, options.exclude) if self._wish.exclude_auto else None
            if worst is None:
                break
            options = replace(options, exclude=(*options.exclude, worst))
            progress(recipe.name, f"again without {worst}", 0.0)
        golden = folder / "golden.npz"
        self._write_golden(golden)
        self._keep(recipe, made, report, golden)
        return Tried(recipe.name, report)

    def _attempt(self, recipe: Recipe, folder: Path, options: Options, progress: Progress) -> tuple[Made, Report]:
        def told(what: str, done: float) -> None:
            progress(recipe.name, what, done)

        started = perf_counter()
        rows = self._calibration if recipe.calibrates else None
        if recipe.tool is None:
            made = recipe.make(self._source, rows, folder, options, told)
        else:
            spec = self._wish.calibration if recipe.calibrates else None
            made = tools.make(recipe, self._source, spec, folder, options, told)
        return made, self._measured(recipe, rows, made, perf_counter() - started, told)

    def _measured(
        self, recipe: Recipe, rows: Rows | None, made: Made, seconds: float, told: Callable[[str, float], None]
    ) -> Report:
        published = self._record.variants[0]
        subject = Subject(
            model=self._record.name,
            version=self._record.version,
            variant=recipe.name,
            engine=recipe.engine,
            recipe=recipe.name,
            source_digest=self._record.digest,
            source_bytes=published.bytes,
            seconds=seconds,
            calibration=rows.digest if rows else None,
            seed=self._wish.options.seed,
        )
        return measure(
            subject,
            self._reference,
            made,
            self._open_engines[recipe.engine],
            self._wish.limits,
            metric=self._wish.metric,
            progress=told,
        )

    def _write_golden(self, path: Path) -> None:
        published = self._record.variants[0]
        engine = self._open_engines[published.engine](self._source.path, self._source.signature, instances=1, threads=1)
        try:
            is_batched = self._source.signature.batch_axis is not None
            write_golden(path, Answering(engine.runner(), self._source.signature, is_batched), self._calibration)
        finally:
            engine.close()

    def _keep(self, recipe: Recipe, made: Made, report: Report, golden: Path) -> None:
        """Store the variant, also one that was refused, and how fast it is on this host."""
        added = self._store.add_variant(
            self._record,
            NewVariant(
                name=recipe.name,
                engine=recipe.engine,
                source=made.main,
                external=made.external,
                recipe={"name": recipe.name, **json.loads(json.dumps(dict(made.details)))},
                report=to_json(report),
                golden=golden,
                accurate=is_accurate(report),
                min_speedup=report.verdict.min_speedup,
            ),
        )
        (variant,) = (one for one in added.record.variants if one.name == recipe.name)
        speed = report.speed
        speedup = Speedup(speed.throughput_ratio, speed.batch_1_ratio, report.batch_mates.batched)
        SpeedMemory(self._store).remember(added.record, variant, speedup)


def first_of(store: Store, record: VersionRecord) -> VariantRecord:
    """The variant that `auto` lets serve the version on this host, by what the store knows now."""
    now = store.resolve(record.name, record.version)
    is_on_gpu = has_gpu()
    engines = {variant.name: engines_for(variant.engine, has_gpu=is_on_gpu)[0] for variant in now.variants}
    return ladder(AUTO, now, SpeedMemory(store).recall(now, engines))[0]


def next_excluded(report: Report, excluded: Sequence[str]) -> str | None:
    """The layer to leave as it is next; None where the drop is allowed, or enough was tried.

    Never the last one: with none quantized there is no variant.
    """
    if report.quality.drop.high <= report.verdict.max_drop or len(excluded) >= _MOST_EXCLUDED:
        return None
    worst = worst_layer(report.layers, excluded)
    is_last = worst is None or worst_layer(report.layers, (*excluded, worst)) is None
    return None if is_last else worst


def _chosen(wish: Wish) -> tuple[Recipe, ...]:
    known = {recipe.name: recipe for recipe in RECIPES}
    for name in wish.recipes:
        if name not in known:
            raise QuantizeError(f"there is no recipe {name!r}; the recipes are: {', '.join(known)}")
    for variant in wish.imported:
        if variant.name in (*known, AUTO, PUBLISHED):
            raise QuantizeError(f"{variant.name!r} is the name of a recipe or policy; call what you import otherwise")
    if wish.recipes or wish.imported:
        return tuple(known[name] for name in wish.recipes)
    passed_over = FROM_NETWORK if wish.network is None else ()
    return tuple(recipe for recipe in RECIPES if recipe.is_candidate and recipe not in passed_over)
