"""Keeps what is served in step with the store: looks, decides, loads beside the old, swaps, drains.

One task owns all of it. The decisions are `lifecycle.next_action`; loads run in a thread, one at a time; the table is
replaced after each step, so a label that moves between loaded versions does not wait for a load.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from time import perf_counter

from structlog.typing import FilteringBoundLogger

from app.control.bring_up import bring_up
from app.control.desired import Desired, desired
from app.control.snapshot import labels_answering, snapshot
from app.metrics import Loaded, Metrics
from app.serving.lifecycle import Load, State, VersionKey, next_action
from app.serving.loading import OpenEngine
from app.serving.servable import Servable
from app.serving.table import Table
from app.settings import Settings
from model_store.records import VersionRecord
from model_store.store import Store

# A closing service was drained before; what runs still is out of time.
_CLOSING_SECONDS = 0.1


class Watch:
    """The servables of one process, by version, and the task that tends them."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        open_engines: Mapping[str, OpenEngine],
        table: Table,
        metrics: Metrics,
        log: FilteringBoundLogger,
    ) -> None:
        self._store = store
        self._settings = settings
        self._open_engines = open_engines
        self._table = table
        self._metrics = metrics
        self._log = log
        self._desired = Desired()
        self._revision: int | None = None
        self._states: dict[VersionKey, State] = {}
        self._failures: dict[VersionKey, str] = {}
        self._servables: dict[VersionKey, Servable] = {}
        self._labels: dict[tuple[str, str], VersionKey] = {}
        self._steps: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._refreshes_asked = 0
        self._refreshes_seen = 0
        self._refreshes_done = 0
        self._refreshed = asyncio.Condition()

    async def run(self) -> None:
        """Look at the store and act on it until cancelled."""
        while True:
            self._wake.clear()
            asked = self._refreshes_asked
            await self._look(again=asked > self._refreshes_seen)
            self._refreshes_seen = asked
            try:
                self._act()
            except Exception as error:  # noqa: BLE001  unforeseen; a watch that ended would leave the server blind
                self._log.error("what the store asks for cannot be acted on; trying again", exc_info=error)
            if State.LOADING not in self._states.values():
                self._table.complete = self._revision is not None
                async with self._refreshed:
                    self._refreshes_done = asked
                    self._refreshed.notify_all()
            await self._sleep()

    async def settled(self) -> None:
        """Return when everything was tried once that is to be served."""
        async with self._refreshed:
            await self._refreshed.wait_for(lambda: self._table.complete)

    async def refresh(self) -> None:
        """Look now, try failed versions again, and return when everything is loaded that can be."""
        self._refreshes_asked += 1
        mine = self._refreshes_asked
        self._wake.set()
        async with self._refreshed:
            await self._refreshed.wait_for(lambda: self._refreshes_done >= mine)

    async def close(self) -> bool:
        """Drain and free every servable; call after `run` ended. False when a load goes on in its thread."""
        if self._steps:
            await asyncio.wait(self._steps, timeout=_CLOSING_SECONDS)
        await asyncio.gather(*(self._retire(servable, _CLOSING_SECONDS) for servable in self._servables.values()))
        return not self._steps

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(self._settings.refresh_seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _look(self, *, again: bool) -> None:
        """Read what should be served, where the store changed or somebody asked."""
        try:
            revision = await asyncio.to_thread(self._store.revision)
            if revision == self._revision and not again:
                return
            self._desired = await asyncio.to_thread(desired, self._store, self._settings)
            self._revision = revision
        except Exception as error:  # noqa: BLE001  whatever ails the store, what is loaded goes on serving
            self._metrics.store_failures += 1
            self._log.warning("the store cannot be read; what is loaded goes on serving", error=str(error))
            return
        if again:
            for key in self._failures:
                del self._states[key]
            self._failures.clear()

    def _act(self) -> None:
        """Start what can be started now, and show where things stand."""
        self._show()
        wanted = [*self._desired.versions, *self._labels.values()]
        while (action := next_action(wanted, self._states)) is not None:
            if isinstance(action, Load):
                self._states[action.key] = State.LOADING
                self._start(self._load(action.key, self._desired.versions[action.key]))
            else:
                self._states[action.key] = State.UNLOADING
                self._start(self._unload(action.key, self._servables.pop(action.key)))
            self._show()

    def _show(self) -> None:
        self._labels = labels_answering(self._desired, self._labels, self._servables)
        self._table.models = snapshot(self._desired, self._states, self._failures, self._servables, self._labels)

    def _start(self, step: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(step)
        self._steps.add(task)
        task.add_done_callback(self._steps.discard)

    async def _load(self, key: VersionKey, record: VersionRecord) -> None:
        started = perf_counter()
        log = self._log.bind(model=record.name, version=record.version)
        settings = self._settings.for_model(record.name)
        try:
            servable = await bring_up(self._store, record, settings, self._open_engines, self._metrics)
        except Exception as error:  # noqa: BLE001  whatever ails a version, the others go on serving
            self._states[key] = State.END
            self._failures[key] = str(error)
            self._metrics.load_failures[record.name, record.version] += 1
            log.error("version cannot be loaded", error=str(error))
        else:
            seconds = perf_counter() - started
            engine = servable.identity.engine
            self._states[key] = State.AVAILABLE
            self._servables[key] = servable
            self._metrics.loaded[servable.tally.key] = Loaded(engine, seconds)
            log.info("version is available", engine=engine, seconds=round(seconds, 3), notes="; ".join(servable.notes))
        self._show()
        self._wake.set()

    async def _unload(self, key: VersionKey, servable: Servable) -> None:
        await self._retire(servable, self._settings.drain_seconds)
        del self._states[key]
        self._log.info("version is unloaded", model=servable.identity.model, version=servable.identity.version)
        self._wake.set()

    async def _retire(self, servable: Servable, drain_seconds: float) -> None:
        if not await servable.drain(drain_seconds):
            self._log.warning("drain took too long", model=servable.identity.model, version=servable.identity.version)
        await servable.close()
        self._metrics.loaded.pop(servable.tally.key, None)
