"""What takes a while, each step a task of its own: bringing servables up, and draining and freeing those that leave."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from time import perf_counter
from typing import TYPE_CHECKING

from structlog.typing import FilteringBoundLogger

from app.control.bring_up import bring_up
from app.control.choice import Choice
from app.control.rungs import NO_PLAN, PlanMissing, Rung
from app.errors import AnswersDiffer
from app.metrics import Loaded, Metrics
from app.serving.lifecycle import VersionKey
from app.serving.servable import Servable
from app.serving.table import folded
from app.settings import Settings
from engines.engine import OpenEngine
from engines.errors import EngineError
from model_store.errors import StoreError
from model_store.records import VersionRecord
from model_store.store import Store

if TYPE_CHECKING:
    from app.tracing import Tracing

# A closing service was drained before; what runs still is out of time.
_CLOSING_SECONDS = 0.1


class Steps:
    """The steps of one process, and the servables that they brought up. Lives on the event loop's thread."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        open_engines: Mapping[str, OpenEngine],
        metrics: Metrics,
        log: FilteringBoundLogger,
        choice: Choice,
        changed: Callable[[], None],
        tracing: "Tracing | None",
    ) -> None:
        """`changed` is called when a servable is freed, and after a step beside what answers."""
        self._store = store
        self._settings = settings
        self._open_engines = open_engines
        self._metrics = metrics
        self._log = log
        self._choice = choice
        self._changed = changed
        self._tracing = tracing
        self._tasks: set[asyncio.Task[None]] = set()
        self._living: list[Servable] = []
        self._leaving: list[Servable] = []
        self.is_busy = False
        """Whether a variant is loaded beside what answers: one at a time, since each measures the machine."""

    def start(self, step: Coroutine[None, None, None]) -> None:
        """Let a step run."""
        task = asyncio.create_task(step)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def start_beside(self, step: Coroutine[None, None, None]) -> None:
        """Let a step run that loads a variant beside what answers."""
        self.is_busy = True
        self.start(self._beside(step))

    async def _beside(self, step: Coroutine[None, None, None]) -> None:
        try:
            await step
        finally:
            self.is_busy = False
            self._changed()

    async def bring_up(self, record: VersionRecord, rung: Rung) -> Servable:
        """Load, check and warm up; the caller owns what it gets until it is retired. Raises as `bring_up.bring_up`."""
        started = perf_counter()
        settings = self._settings.for_model(record.name)
        servable = await bring_up(self._store, record, rung, settings, self._open_engines, self._metrics, self._tracing)
        self._living.append(servable)
        seconds = perf_counter() - started
        engine = servable.identity.engine
        self._metrics.loaded[servable.tally.key] = Loaded(
            engine, seconds, servable.split.instances, servable.split.threads, servable.limits.queue_rows
        )
        self._log.info(
            "version is available",
            model=record.name,
            version=record.version,
            variant=rung.variant.name,
            engine=engine,
            seconds=round(seconds, 3),
            notes="; ".join(servable.notes),
        )
        return servable

    async def try_out(self, key: VersionKey, record: VersionRecord, rung: Rung) -> Servable | None:
        """`bring_up`, where another rung can answer: what cannot serve is told, and stands there no more."""
        try:
            return await self.bring_up(record, rung)
        except (EngineError, AnswersDiffer) as error:
            self._choice.fail(key, rung, _reason(error), str(error))
        except StoreError as error:  # what cannot be read, no engine could run
            self._choice.refuse(key, rung.variant, "load", str(error))
        except Exception as error:  # noqa: BLE001  whatever ails an engine, the next one may serve
            self._choice.fail(key, rung, "load", f"{type(error).__name__}: {error}")
        return None

    async def retire(self, servable: Servable, drain_seconds: float | None = None) -> None:
        """Let it finish what it has, for `drain_seconds` or as long as is set, and free it."""
        self._living.remove(servable)
        self._leaving.append(servable)
        if not await servable.drain(self._settings.drain_seconds if drain_seconds is None else drain_seconds):
            self._log.warning("drain took too long", model=servable.identity.model, version=servable.identity.version)
        await servable.close()
        if all(other.tally is not servable.tally for other in self._living):
            self._metrics.loaded.pop(servable.tally.key, None)
        self._leaving.remove(servable)
        self._changed()

    def has_leaving(self, model: str) -> bool:
        """Whether something of the model is being drained or freed."""
        return any(folded(servable.identity.model) == model for servable in self._leaving)

    async def close(self) -> bool:
        """Drain and free all that was brought up. False when a load goes on in its thread."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSING_SECONDS)
        await asyncio.gather(*(self.retire(servable, _CLOSING_SECONDS) for servable in list(self._living)))
        return not self._tasks


def _reason(error: Exception) -> str:
    if isinstance(error, PlanMissing):
        return NO_PLAN
    return "parity" if isinstance(error, AnswersDiffer) else "load"
