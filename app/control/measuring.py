"""A variant that was measured on another host is measured here, in the background and at low priority."""

import asyncio
import sys

from app.serving.variants import Speedup
from engines.errors import QuantizeError
from engines.quantize.speed_apart import Answer, Artifact, Question
from model_store.records import VariantRecord, VersionRecord
from model_store.store import Store

_MOST_SECONDS = 300.0


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
    found = Answer.from_json(answer)
    return Speedup(found.throughput_ratio, found.batch_1_ratio, found.batched)


def _question(store: Store, record: VersionRecord, variant: VariantRecord) -> Question:
    source = record.variants[0]
    return Question(
        record.signature,
        store.golden(record, variant.name),
        Artifact(source.engine, store.materialise(record, source.name)),
        Artifact(variant.engine, store.materialise(record, variant.name)),
    )
