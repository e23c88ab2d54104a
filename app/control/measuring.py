"""A variant that was measured on another host is measured here, in the background and at low priority."""

import asyncio
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import NamedTuple

from structlog.typing import FilteringBoundLogger

from app.control.speeds import SpeedMemory
from app.serving.lifecycle import VersionKey
from engines.errors import QuantizeError
from engines.quantize.report import Speedup
from engines.quantize.speed_apart import Artifact, Question, read_answer
from model_store.records import VariantRecord, VersionRecord
from model_store.store import Store

# It takes ten where nobody else wants the cores; it gets what others leave.
_MOST_SECONDS = 3600.0


class Unmeasured(NamedTuple):
    """A variant whose speed here nobody knows."""

    key: VersionKey
    record: VersionRecord
    variant: VariantRecord


class Measuring:
    """Measures one variant after the other and remembers what came of it. Lives on the event loop's thread."""

    def __init__(
        self,
        store: Store,
        memory: SpeedMemory,
        log: FilteringBoundLogger,
        measured: Callable[[], None],
        failed: Callable[[Unmeasured, str], None],
    ) -> None:
        """`measured` is called after each; before it `failed`, with the reason, for one that cannot be measured."""
        self._store = store
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
        log = self._log.bind(model=one.record.name, version=one.record.version, variant=one.variant.name)
        try:
            speedup = await measure_here(self._store, one.record, one.variant)
            await asyncio.to_thread(self._memory.remember, one.record, one.variant, speedup)
        except Exception as error:  # noqa: BLE001  what serves meanwhile goes on serving
            self._failed(one, f"its speed cannot be measured here: {error}")
        else:
            log.info("speed of a variant is measured", **asdict(speedup))
        self._task = None
        self._measured()


async def measure_here(store: Store, record: VersionRecord, variant: VariantRecord) -> Speedup:
    """How much faster than its source the variant is on this host. Cancelled, it ends the process that measures.

    Raises QuantizeError and StoreError.
    """
    question = await asyncio.to_thread(_question, store, record, variant)
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


def _question(store: Store, record: VersionRecord, variant: VariantRecord) -> Question:
    source = record.variants[0]
    return Question(
        record.signature,
        store.golden(record, variant.name),
        Artifact(source.engine, store.materialise(record, source.name)),
        Artifact(variant.engine, store.materialise(record, variant.name)),
    )
