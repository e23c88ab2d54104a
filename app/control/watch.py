"""Keeps what is served in step with the store: looks, decides, loads beside the old, swaps, drains.

One task owns all of it; `refresh`, `load` and `unload` say what is wished, wake it and wait. The decisions are
`lifecycle.next_action`; loads run in a thread, one at a time; the table is replaced after each step, so a label that
moves between loaded versions does not wait for a load.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from time import perf_counter

from structlog.typing import FilteringBoundLogger

from app.control.bring_up import bring_up
from app.control.desired import Desired, desired, wanted
from app.control.snapshot import labels_answering, snapshot
from app.errors import LoadFailed
from app.metrics import Loaded, Metrics
from app.serving.lifecycle import Load, State, VersionKey, next_action
from app.serving.servable import Servable
from app.serving.table import Table, folded
from app.settings import Settings
from engines.engine import OpenEngine
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
        self._unloaded: set[str] = set()
        """Models that were unloaded on purpose: they stay so until somebody loads them."""
        self._steps: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._looks_asked = 0
        self._looks_done = 0
        self._acted = asyncio.Condition()

    async def run(self) -> None:
        """Look at the store and act on it until cancelled."""
        while True:
            self._wake.clear()
            asked = self._looks_asked
            await self._look()
            try:
                self._act()
            except Exception as error:  # noqa: BLE001  unforeseen; a watch that ended would leave the server blind
                self._log.error("what the store asks for cannot be acted on; trying again", exc_info=error)
            if State.LOADING not in self._states.values():
                self._table.complete = self._revision is not None
            async with self._acted:
                self._looks_done = asked
                self._acted.notify_all()
            await self._sleep()

    async def settled(self) -> None:
        """Return when everything was tried once that is to be served."""
        async with self._acted:
            await self._acted.wait_for(lambda: self._table.complete)

    async def refresh(self) -> None:
        """Look now, try failed versions again, and return when everything is loaded that can be."""
        self._forget_failures()
        await self._look_until(self._all_tried)

    async def load(self, name: str) -> None:
        """Serve the model from now on, try failed versions of it again, and return when it answers.

        Raises LoadFailed when the version that should answer by default cannot be loaded; as Table.select when there
        is no such model, nothing of it is in the store, or it was unloaded again meanwhile.
        """
        model = folded(name)
        self._unloaded.discard(model)
        self._forget_failures(model)
        await self._look_until(lambda: self._all_tried(model))
        served = self._table.model(name)
        by_default = next(iter(self._to_serve(model)), None)
        if by_default in self._failures:
            failure = self._failures[by_default]
            raise LoadFailed(f"model '{served.name}' version {by_default.version} could not be loaded: {failure}")
        served.select()

    async def unload(self, name: str) -> None:
        """Serve nothing of the model until it is loaded or the server starts anew; return when it is drained and freed.

        A name that nobody knows is no error, as in Triton: nothing of it is served, which is what was asked for.
        """
        model = folded(name)
        self._unloaded.add(model)
        self._show()  # whoever waits for a load of it is told so, whenever they look
        await self._look_until(lambda: model not in self._unloaded or self._is_gone(model))

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

    async def _look_until(self, done: Callable[[], bool]) -> None:
        """Have the store looked at and acted on once more, and return when after that `done` holds."""
        self._looks_asked += 1
        mine = self._looks_asked
        self._wake.set()
        async with self._acted:
            await self._acted.wait_for(lambda: self._looks_done >= mine and done())

    def _to_serve(self, model: str | None = None) -> list[VersionKey]:
        """What is to be loaded, of one model or of all, the most important first."""
        return [key for key in wanted(self._desired, (), self._unloaded) if model in (None, key.model)]

    def _all_tried(self, model: str | None = None) -> bool:
        """Whether everything that is to be loaded answers, or failed to."""
        return all(self._states.get(key) in (State.AVAILABLE, State.END) for key in self._to_serve(model))

    def _is_gone(self, model: str) -> bool:
        return all(state is State.END for key, state in self._states.items() if key.model == model)

    def _forget_failures(self, model: str | None = None) -> None:
        """Give what failed to load, of one model or of all, another chance."""
        for key in [key for key in self._failures if model in (None, key.model)]:
            del self._failures[key], self._states[key]

    async def _look(self) -> None:
        """Read what should be served, where the store changed."""
        try:
            revision = await asyncio.to_thread(self._store.revision)
            if revision != self._revision:
                self._desired = await asyncio.to_thread(desired, self._store, self._settings)
                self._revision = revision
        except Exception as error:  # noqa: BLE001  whatever ails the store, what is loaded goes on serving
            self._metrics.store_failures += 1
            self._log.warning("the store cannot be read; what is loaded goes on serving", error=str(error))

    def _act(self) -> None:
        """Start what can be started now, and show where things stand."""
        if self._revision is not None:
            self._unloaded.intersection_update(self._desired.names)  # what nobody knows would be served when it comes
        self._show()
        to_serve = wanted(self._desired, self._labels.values(), self._unloaded)
        while (action := next_action(to_serve, self._states)) is not None:
            if isinstance(action, Load):
                self._states[action.key] = State.LOADING
                self._start(self._load(action.key, self._desired.versions[action.key]))
            else:
                self._states[action.key] = State.UNLOADING
                self._start(self._unload(action.key, self._servables.pop(action.key)))
            self._show()

    def _show(self) -> None:
        answering = {key: servable for key, servable in self._servables.items() if key.model not in self._unloaded}
        self._labels = labels_answering(self._desired, self._labels, answering)
        self._table.models = snapshot(
            self._desired, self._states, self._failures, answering, self._labels, self._unloaded
        )

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
