"""Servables of a tiny real model."""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from app.metrics import Key, Tally
from app.serving.cost import CostTable
from app.serving.servable import Identity, QueueLimits, Servable
from engines.measure import Split
from engines.onnxruntime_engine import load
from engines.signature import Signature, TensorSpec
from tests import graphs

DOUBLING = Signature((TensorSpec("x", "float32", (-1, 2)),), (TensorSpec("y", "float32", (-1, 2)),), 0)
LIMITS = QueueLimits(max_batch_rows=8, queue_rows=64, max_wait_seconds=0.0, deadline_seconds=10.0)

MakeServable = Callable[..., Servable]


@pytest.fixture
def doubling(tmp_path: Path) -> Path:
    """An ONNX file with `y = x + x`, of the signature DOUBLING."""
    return graphs.save(graphs.doubling(), tmp_path / "doubling.onnx")


@pytest.fixture
async def make_servable(doubling: Path) -> AsyncIterator[MakeServable]:
    """Makes servables from within a running test, and closes them after it."""
    made: list[Servable] = []

    def make(
        model: str = "m",
        version: str = "1.0.0",
        *,
        digest: str = "",
        limits: QueueLimits = LIMITS,
        instances: int = 1,
        batched: bool = True,
        notes: tuple[str, ...] = (),
        metadata: Mapping[str, Any] = MappingProxyType({}),
    ) -> Servable:
        engine = load(doubling, DOUBLING, instances=instances, threads=1)
        servable = Servable(
            Identity(model, version, "fp32", engine.name, digest, "onnxruntime"),
            engine,
            [engine.runner() for _ in range(instances)],
            limits,
            CostTable(),
            Tally(Key(model, version, "fp32")),
            batched=batched,
            split=Split(instances, 1),
            notes=notes,
            metadata=metadata,
        )
        made.append(servable)
        return servable

    yield make
    for servable in made:
        await servable.close()
