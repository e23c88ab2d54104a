"""Builds the plans that loads did not find, one after the other, while other engines answer."""

import asyncio
from collections.abc import Callable, Iterable
from time import perf_counter

from structlog.typing import FilteringBoundLogger

from app.serving.lifecycle import VersionKey
from app.settings import ModelSettings, Settings
from model_store.records import VariantRecord, VersionRecord
from model_store.store import Store

Waiting = tuple[VersionKey, VersionRecord, VariantRecord]


class Building:
    """Builds one plan at a time, in a process of its own that a thread waits for. Lives on the event loop's thread."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        log: FilteringBoundLogger,
        done: Callable[[VersionKey, VariantRecord, str | None], None],
    ) -> None:
        """`done` is called after each, with the reason where the plan cannot be built."""
        self._store = store
        self._settings = settings
        self._log = log
        self._done = done
        self._task: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a plan is being built: the GPU is not to be measured now."""
        return self._task is not None

    def start(self, waiting: Iterable[Waiting]) -> None:
        """Begin with the first of these, unless one is being built."""
        if self._task is None and (first := next(iter(waiting), None)) is not None:
            self._task = asyncio.create_task(self._build(*first))

    def close(self) -> bool:
        """Build nothing more. False when a build goes on: its process ends with this one."""
        if self._task is not None:
            self._task.cancel()
        return self._task is None

    async def _build(self, key: VersionKey, record: VersionRecord, variant: VariantRecord) -> None:

        log = self._log.bind(model=record.name, version=record.version, variant=variant.name)

        def told(what: str, share: float) -> None:
            log.debug("building a plan", doing=what, share=round(share, 2))

        log.info("a plan is being built; another engine answers meanwhile")
        started, failure = perf_counter(), None
        settings = self._settings.for_model(record.name)
        try:
            await asyncio.to_thread(_build_here, self._store, record, variant, settings, told)
        except Exception as error:  # noqa: BLE001  what serves meanwhile goes on serving
            failure = str(error)
        else:
            log.info("a plan is built", seconds=round(perf_counter() - started, 3))
        self._task = None
        self._done(key, variant, failure)


def _build_here(
    store: Store,
    record: VersionRecord,
    variant: VariantRecord,
    settings: ModelSettings,
    progress: Callable[[str, float], None],
) -> None:
    from app.control.plans import build
    from engines.tensorrt.engine import target_here

    build(store, record, variant, settings, target_here(), progress)
