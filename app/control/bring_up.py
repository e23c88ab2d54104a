"""One version of the store becomes a servable."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from app.metrics import Key, Metrics
from app.serving.loading import Loaded, load
from app.serving.servable import Identity, QueueLimits, Servable
from app.settings import ModelSettings
from engines.engine import OpenEngine
from engines.machine import fingerprint, usable_cores
from engines.signature import Signature
from model_store.records import VariantRecord, VersionRecord
from model_store.store import Store


@dataclass(frozen=True, slots=True)
class TuningMemory:
    """What this machine measured about one artifact, kept in the store's cache."""

    store: Store
    digest: str

    def recall(self) -> bytes | None:
        return self.store.recall(self._key())

    def remember(self, value: bytes) -> None:
        self.store.remember(self._key(), value)

    def _key(self) -> str:
        return f"tuning/{fingerprint()}/{self.digest}"


async def bring_up(
    store: Store,
    record: VersionRecord,
    settings: ModelSettings,
    open_engines: Mapping[str, OpenEngine],
    metrics: Metrics,
) -> Servable:
    """Verify, load and warm up the version's variant. Raises StoreError or EngineError when it cannot serve."""
    variant = record.variants[0]
    loaded = await asyncio.to_thread(_load, store, record, variant, settings, open_engines)
    identity = Identity(record.name, record.version, variant.name, loaded.engine.name)
    return Servable(
        identity,
        loaded.engine,
        loaded.runners,
        QueueLimits(loaded.most_rows, settings.queue_rows, settings.max_wait_ms / 1000, settings.deadline_ms / 1000),
        loaded.cost,
        metrics.tally(Key(record.name, record.version, variant.name)),
        batched=loaded.batched,
        split=loaded.split,
        notes=loaded.notes,
        metadata=record.metadata.model_dump(),
    )


def _load(
    store: Store,
    record: VersionRecord,
    variant: VariantRecord,
    settings: ModelSettings,
    open_engines: Mapping[str, OpenEngine],
) -> Loaded:
    return load(
        store.materialise(record, variant.name),
        Signature.from_json(record.signature),
        open_engines[variant.engine],
        settings,
        usable_cores(),
        TuningMemory(store, variant.digest),
    )
