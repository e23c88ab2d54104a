"""A variant that was measured on another host is measured here, in the background and at low priority."""

import asyncio
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import NamedTuple

from structlog.typing import FilteringBoundLogger

from app.control.rungs import ON_GPU, TENSORRT, WORKERS_ON_GPU, Rung
from app.control.speeds import SpeedMemory
from app.serving.lifecycle import VersionKey
from app.settings import ModelSettings, Settings
from engines.errors import QuantizeError
from engines.machine import usable_cores
from engines.quantize.report import Speedup
from engines.quantize.speed_apart import Artifact, Question, read_answer
from model_store.records import VersionRecord
from model_store.store import Store

# It takes ten where nobody else wants the cores; it gets what others leave.
_MOST_SECONDS = 3600.0


class Unmeasured(NamedTuple):
    """A variant whose speed here nobody knows."""

    key: VersionKey
    record: VersionRecord
    rung: Rung
    source_engine: str
    """That runs the published variant here, which it is measured beside."""

    @property
    def engines(self) -> dict[str, str]:
        """Of the two, by variant."""
        return {self.record.variants[0].name: self.source_engine, self.rung.variant.name: self.rung.engine}


class Measuring:
    """Measures one variant after the other and remembers what came of it. Lives on the event loop's thread."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        memory: SpeedMemory,
        log: FilteringBoundLogger,
        measured: Callable[[], None],
        failed: Callable[[Unmeasured, str], None],
    ) -> None:
        """`measured` is called after each; before it `failed`, with the reason, for one that cannot be measured."""
        self._store = store
        self._settings = settings
        self._memory = memory
        self._log = log
        self._measured = measured
        self._failed = failed
        self._task: asyncio.Task[None] | None = None

    def start(self, unmeasured: Iterable[Unmeasured]) -> None:
        """Begin with the first of these, unless one is being measured."""
        if self._task is None and (first := next(iter(unmeasured), None)) is not None:
            self._task = asyncio.create_task(self._measure(first))

    async def close(self) -> None:
        """Measure nothing more; the process that does is gone after this."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _measure(self, one: Unmeasured) -> None:
        record, variant = one.record, one.rung.variant
        log = self._log.bind(model=record.name, version=record.version, variant=variant.name, engine=one.rung.engine)
        try:
            speedup = await measure_here(self._store, one, self._settings.for_model(record.name))
            await asyncio.to_thread(self._memory.remember, record, variant, speedup, one.engines)
        except Exception as error:  # noqa: BLE001  what serves meanwhile goes on serving
            self._failed(one, f"its speed cannot be measured here: {error}")
        else:
            log.info("speed of a variant is measured", **asdict(speedup))
        self._task = None
        self._measured()


async def measure_here(store: Store, one: Unmeasured, settings: ModelSettings) -> Speedup:
    """How much faster than its source the variant is on this host. Cancelled, it ends the process that measures.

    Raises QuantizeError and StoreError.
    """
    question = await asyncio.to_thread(_question, store, one, settings)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "engines.quantize.speed_apart"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_MOST_SECONDS):
            answer, complaint = await process.communicate(question.to_json())
    except TimeoutError:
        raise QuantizeError(f"its speed was not measured within {_MOST_SECONDS:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last_line = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        raise QuantizeError(f"the process that measures it ended with {process.returncode}: {last_line}")
    return read_answer(answer)


def _question(store: Store, one: Unmeasured, settings: ModelSettings) -> Question:
    source = Rung(one.record.variants[0], one.source_engine)
    return Question(
        one.record.signature,
        store.golden(one.record, one.rung.variant.name),
        _artifact(store, one.record, source, settings),
        _artifact(store, one.record, one.rung, settings),
        WORKERS_ON_GPU if source.engine in ON_GPU else usable_cores(),
    )


def _artifact(store: Store, record: VersionRecord, rung: Rung, settings: ModelSettings) -> Artifact:
    name = rung.variant.name
    plan = None
    if rung.engine == TENSORRT:
        from app.control.plans import how_to_open

        plan = how_to_open(store, name, settings)
    return Artifact(rung.engine, store.materialise(record, name), plan)
