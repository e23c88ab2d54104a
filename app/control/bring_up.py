"""One version of the store becomes a servable."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from app.control.rungs import ON_GPU, WORKERS_ON_GPU, PlanMissing, Rung
from app.errors import AnswersDiffer
from app.metrics import Key, Metrics
from app.serving.golden import Reference, made_up_reference
from app.serving.loading import Loaded, load
from app.serving.servable import Identity, QueueLimits, Servable
from app.settings import ModelSettings
from engines.engine import OpenEngine
from engines.errors import InputRefused, LoadError, RunError
from engines.machine import fingerprint, usable_cores
from engines.quantize.golden import read_golden
from engines.quantize.report import from_json
from engines.signature import Signature
from model_store.records import VariantRecord, VersionRecord
from model_store.store import Store

if TYPE_CHECKING:
    from app.tracing import Tracing


@dataclass(frozen=True, slots=True)
class TuningMemory:
    """What this machine measured about one artifact in one engine, kept in the store's cache."""

    store: Store
    engine: str
    digest: str

    def recall(self) -> bytes | None:
        return self.store.recall(self._key())

    def remember(self, value: bytes) -> None:
        self.store.remember(self._key(), value)

    def _key(self) -> str:
        return f"tuning/{fingerprint()}/{self.engine}/{self.digest}"


async def bring_up(
    store: Store,
    record: VersionRecord,
    rung: Rung,
    settings: ModelSettings,
    open_engines: Mapping[str, OpenEngine],
    metrics: Metrics,
    tracing: "Tracing | None",
) -> Servable:
    """Verify, load, warm up and check a variant in an engine.

    Raises StoreError, EngineError or AnswersDiffer if it cannot serve, PlanMissing where it could once that is built.
    """
    variant = rung.variant
    loaded = await asyncio.to_thread(_load, store, record, rung, settings, open_engines)
    identity = Identity(record.name, record.version, variant.name, loaded.engine.name, variant.digest, rung.engine)
    return Servable(
        identity,
        loaded.engine,
        loaded.runners,
        QueueLimits(loaded.most_rows, settings.queue_rows, settings.max_wait_ms / 1000, settings.deadline_ms / 1000),
        loaded.cost,
        metrics.tally(Key(record.name, record.version, variant.name)),
        batched=loaded.batched,
        split=loaded.split,
        notes=(*loaded.notes, *_unchecked(variant)),
        metadata=record.metadata.model_dump(),
        tracing=tracing,
    )


def _load(
    store: Store,
    record: VersionRecord,
    rung: Rung,
    settings: ModelSettings,
    open_engines: Mapping[str, OpenEngine],
) -> Loaded:
    variant = rung.variant
    if variant.engine not in open_engines:
        raise LoadError(f"there is no engine '{variant.engine}' here, only {', '.join(open_engines)}")
    signature = Signature.from_json(record.signature)
    path = store.materialise(record, variant.name)
    reference = _reference(store, record, variant, signature)
    open_engine = open_engines.get(rung.engine) or _opens_plan(store, path, variant.name, settings)
    if rung.engine in ON_GPU and reference is None:
        reference = _reference_here(path, signature, open_engines[variant.engine])
    return load(
        path,
        signature,
        open_engine,
        settings,
        WORKERS_ON_GPU if rung.engine in ON_GPU else usable_cores(),
        TuningMemory(store, rung.engine, variant.digest),
        reference,
    )


def _opens_plan(store: Store, path: Path, variant: str, settings: ModelSettings) -> OpenEngine:
    """TensorRT, imported by the first variant that needs it. Raises LoadError."""
    from app.control.plans import find_plan
    from engines.tensorrt.engine import load as load_plan

    plan = find_plan(store, path, variant, settings)
    if plan is None:
        raise PlanMissing(
            "its plan is not built yet; it takes over as soon as it is (octet engine build does so before)"
        )
    return partial(load_plan, plan=plan)


def _reference_here(path: Path, signature: Signature, open_processor: OpenEngine) -> Reference | None:
    """For a GPU, where nothing was kept: what the processor answers. None where it refuses made-up rows."""
    engine = open_processor(path, signature, instances=1, threads=usable_cores())
    try:
        return made_up_reference(engine)
    except (InputRefused, RunError):
        return None
    finally:
        engine.close()


def _unchecked(variant: VariantRecord) -> tuple[str, ...]:
    """What the status says of a variant that nothing was kept for to check it by."""
    if variant.recipe is None or (variant.golden and variant.report):
        return ()
    return ("not compared with the published variant: it was stored without golden rows or report",)


def _reference(store: Store, record: VersionRecord, variant: VariantRecord, signature: Signature) -> Reference | None:
    """What the variant must answer like; None for one that was published or never measured.

    Raises AnswersDiffer where what is kept for that cannot be read: then nobody can tell.
    """
    if variant.golden is None or variant.report is None:
        return None
    try:
        golden = read_golden(store.golden(record, variant.name), signature)
        report = from_json(store.report(record, variant.name))
    except (ValueError, KeyError, OSError, BadZipFile) as error:
        raise AnswersDiffer(f"its golden rows or its report cannot be read ({error}); quantize it again") from None
    return Reference(golden, report.quality.sqnr_db, report.batch_mates.batched)
