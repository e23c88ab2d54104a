"""Keeps what is served in step with the store: looks, decides, loads beside the old, swaps, drains.

One task owns all of it; `refresh`, `load` and `unload` say what is wished, wake it and wait. The decisions are
`lifecycle.next_action`; loads run in a thread, one at a time; the table is replaced after each step, so a label that
moves between loaded versions does not wait for a load.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from structlog.typing import FilteringBoundLogger

from app.control.building import Building
from app.control.choice import Choice, Speeds, is_of
from app.control.desired import Desired, desired, wanted
from app.control.measuring import Measuring, Unmeasured
from app.control.pinning import Pinning
from app.control.rungs import TENSORRT, Engines, Rung
from app.control.snapshot import KnownVariants, labels_answering, snapshot
from app.control.speeds import SpeedMemory
from app.control.steps import Steps
from app.control.unloaded import Unloaded
from app.errors import LoadFailed
from app.metrics import Metrics
from app.serving.lifecycle import Load, Replace, State, Unload, VersionKey, next_action
from app.serving.servable import Servable
from app.serving.table import Table, folded
from app.settings import Settings
from engines.engine import OpenEngine
from model_store.records import VariantRecord, VersionRecord
from model_store.store import Store

if TYPE_CHECKING:
    from app.tracing import Tracing


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
        *,
        has_gpu: bool = False,
        tracing: "Tracing | None" = None,
        unloaded: Unloaded | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._table = table
        self._metrics = metrics
        self._log = log
        self._speed_memory = SpeedMemory(store)
        self._engines = Engines(metrics, log, has_gpu=has_gpu)
        self._choice = Choice(settings, metrics, log, self._engines)
        self._desired = Desired()
        self._revision: int | None = None
        self._states: dict[VersionKey, State] = {}
        self._failures: dict[VersionKey, str] = {}
        self._servables: dict[VersionKey, Servable] = {}
        """What answers for a version where no variant is named."""
        self._labels: dict[tuple[str, str], VersionKey] = {}
        self._unloaded = Unloaded() if unloaded is None else unloaded
        """Models that were unloaded on purpose: they stay so until somebody loads them."""
        self._wake = asyncio.Event()
        self._steps = Steps(store, settings, open_engines, metrics, log, self._choice, self._wake.set, tracing)
        self._pinning = Pinning(settings, self._choice, self._steps)
        self._measuring = Measuring(store, settings, self._speed_memory, log, self._wake.set, self._not_measured)
        self._building = Building(store, settings, log, self._planned)
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

    def pin(self, servable: Servable, variant: str) -> None:
        """Have another variant of the version that this one answers for loaded beside it, as soon as may be.

        Raises Unsupported where none is to be loaded so.
        """
        if self._pinning.ask(servable, variant):
            self._wake.set()

    async def close(self) -> bool:
        """Drain and free every servable; call after `run` ended. False when a load goes on in its thread."""
        await self._measuring.close()
        is_built = self._building.close()
        return await self._steps.close() and is_built

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
        """Whether everything that is to be loaded answers with its best variant, or failed to."""
        to_serve = self._to_serve(model)
        is_tried = all(self._states.get(key) in (State.AVAILABLE, State.END) for key in to_serve)
        return is_tried and self._choice.outdated(self._servables).isdisjoint(to_serve)

    def _is_gone(self, model: str) -> bool:
        is_ended = all(state is State.END for key, state in self._states.items() if key.model == model)
        return is_ended and not self._steps.has_leaving(model)

    def _forget_failures(self, model: str | None = None) -> None:
        """Give what failed to load, of one model or of all, another chance."""
        for key in [key for key in self._failures if model in (None, key.model)]:
            del self._failures[key], self._states[key]
        self._choice.forget(model)

    async def _look(self) -> None:
        """Read what should be served, where the store changed."""
        try:
            self._unloaded.look()
            revision = await asyncio.to_thread(self._store.revision)
            found = self._desired
            if revision != self._revision:
                found = await asyncio.to_thread(desired, self._store, self._settings)
            engines = {key: self._engines.now(key, record) for key, record in found.versions.items()}
            speeds = await asyncio.to_thread(self._read_speeds, found, engines)
            self._desired, self._revision = found, revision
            self._choice.look(found, speeds)
        except Exception as error:  # noqa: BLE001  whatever ails the store, what is loaded goes on serving
            self._metrics.store_failures += 1
            self._log.warning("the store cannot be read; what is loaded goes on serving", error=str(error))

    def _read_speeds(self, desired: Desired, engines: Mapping[VersionKey, Mapping[str, str]]) -> Speeds:
        """They change without a new revision: what was measured is no part of the store's truth."""
        several = {key: record for key, record in desired.versions.items() if len(record.variants) > 1}
        return {key: self._speed_memory.recall(record, engines[key]) for key, record in several.items()}

    def _act(self) -> None:
        """Start what can be started now, and show where things stand."""
        if self._revision is not None:
            self._unloaded.keep(self._desired.names)  # what nobody knows would be served when it comes
        self._show()
        to_serve = wanted(self._desired, self._labels.values(), self._unloaded)
        while (action := self._next(to_serve)) is not None:
            if isinstance(action, Load):
                self._states[action.key] = State.LOADING
                self._steps.start(self._load(action.key, self._desired.versions[action.key]))
            elif isinstance(action, Replace):
                best = self._choice.rungs(action.key)[0]
                self._steps.start_beside(self._replace(action.key, self._desired.versions[action.key], best))
            else:
                self._states[action.key] = State.UNLOADING
                self._steps.start(self._unload(action.key, self._servables.pop(action.key)))
            self._show()
        is_loading = State.LOADING in self._states.values()
        self._pinning.act(self._desired.versions, self._answering(), is_busy=is_loading)
        self._show()
        if self._all_tried():
            self._building.start(self._choice.without_plan())
            if not self._building.is_busy:
                self._measuring.start(self._choice.unmeasured(self._servables))

    def _next(self, to_serve: list[VersionKey]) -> Load | Replace | Unload | None:
        outdated = self._choice.outdated(self._servables)
        return next_action(to_serve, self._states, outdated, is_busy=self._steps.is_busy)

    def _answering(self) -> dict[VersionKey, Servable]:
        """What answers by default, but for what was unloaded on purpose."""
        return {key: servable for key, servable in self._servables.items() if key.model not in self._unloaded}

    def _show(self) -> None:
        answering = self._answering()
        self._labels = labels_answering(self._desired, self._labels, answering)
        self._table.models = snapshot(
            self._desired, self._states, self._failures, answering, self._labels, self._unloaded, self._known_variants()
        )

    def _known_variants(self) -> dict[VersionKey, KnownVariants]:
        return {
            key: KnownVariants(self._choice.statuses(key, self._loaded(key)), self._choice.notes(key))
            for key in self._desired.versions
        }

    def _loaded(self, key: VersionKey) -> dict[str, Servable]:
        """What is loaded of a version, by variant."""
        servable = self._servables.get(key)
        return self._pinning.loaded(key) | ({servable.identity.variant: servable} if servable else {})

    async def _load(self, key: VersionKey, record: VersionRecord) -> None:
        """The version's best variant that works; the failure of the last one is the version's."""
        *better, last = self._choice.rungs(key) or (self._choice.rung(key, record.variants[0]),)
        servable = None
        for rung in better:
            if (servable := await self._steps.try_out(key, record, rung)) is not None:
                break
        try:
            self._servables[key] = servable or await self._steps.bring_up(record, last)
            self._states[key] = State.AVAILABLE
        except Exception as error:  # noqa: BLE001  whatever ails a version, the others go on serving
            self._states[key] = State.END
            self._failures[key] = str(error)
            self._metrics.load_failures[record.name, record.version] += 1
            self._log.error("version cannot be loaded", model=record.name, version=record.version, error=str(error))
        self._show()
        self._wake.set()

    async def _replace(self, key: VersionKey, record: VersionRecord, best: Rung) -> None:
        """Put the version's best rung in the place of the one that answers, which finishes what it has."""
        better = self._pinning.take(key, best) or await self._steps.try_out(key, record, best)
        superseded = better
        if better is not None and self._states.get(key) is State.AVAILABLE:
            superseded = self._servables[key]
            self._servables[key] = better
            before = superseded.identity
            log = self._log.bind(model=record.name, version=record.version, variant=best.variant.name)
            if is_of(superseded, best.variant):
                log.info("another engine answers", engine=best.engine, before=before.rung)
            else:
                log.info("another variant answers", before=before.variant)
        self._show()
        if superseded is not None:
            self._steps.start(self._steps.retire(superseded))

    async def _unload(self, key: VersionKey, servable: Servable) -> None:
        await self._steps.retire(servable)
        del self._states[key]
        self._log.info("version is unloaded", model=servable.identity.model, version=servable.identity.version)
        self._wake.set()

    def _not_measured(self, one: Unmeasured, words: str) -> None:
        self._choice.fail(one.key, one.rung, "speed", words)

    def _planned(self, key: VersionKey, variant: VariantRecord, failure: str | None) -> None:
        if failure is None:
            self._engines.planned(key, variant)
        else:
            self._choice.fail(key, Rung(variant, TENSORRT), "build", failure)
        self._wake.set()
