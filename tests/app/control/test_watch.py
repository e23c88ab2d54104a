"""The watch beside a store that cannot be read, and amid an unload; all else is tested in tests/service/life."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import structlog

from app.control.publish import publish
from app.control.watch import Watch
from app.errors import ModelUnloaded
from app.metrics import Metrics
from app.serving.table import Table
from app.settings import Settings
from engines.engine import Engine
from engines.onnxruntime_engine import load
from engines.signature import Signature
from model_store.manifest import Metadata
from model_store.store import Store
from tests import graphs


@asynccontextmanager
async def running(watch: Watch) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(watch.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await watch.close()


async def test_a_store_that_was_never_read_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    folder, away = tmp_path / "store", tmp_path / "away"
    table, metrics = Table(), Metrics()
    with Store.open(folder) as store:
        watch = Watch(store, Settings(refresh_seconds=3600), {}, table, metrics, structlog.get_logger())
        folder.rename(away)
        async with running(watch):
            await watch.refresh()
            assert (table.complete, metrics.store_failures > 0) == (False, True)
            away.rename(folder)
            await watch.refresh()
            assert table.complete
            await asyncio.wait_for(watch.settled(), 10)


async def test_an_unforeseen_error_does_not_end_the_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics()
    with Store.open(tmp_path / "store") as store:
        watch = Watch(store, Settings(refresh_seconds=3600), {}, Table(), metrics, structlog.get_logger())
        acted: list[str] = []

        def act() -> None:
            acted.append("once more")
            if len(acted) == 1:
                raise RuntimeError("nobody thought of this")

        monkeypatch.setattr(watch, "_act", act)
        async with running(watch) as task:
            async with asyncio.timeout(10):
                await watch.refresh()
                await watch.refresh()
            assert len(acted) > 1
            assert not task.done()


async def test_nothing_of_a_model_answers_from_the_moment_that_it_is_unloaded(tmp_path: Path, store: Store) -> None:
    """Before the store is looked at once more: a load that waits meanwhile sees what became of the model."""
    table, engines = Table(), {"onnxruntime": load}
    settings = Settings(refresh_seconds=3600, instances=1, threads=1)
    watch = Watch(store, settings, engines, table, Metrics(), structlog.get_logger())
    publish(store, "m", graphs.save(graphs.doubling(), tmp_path / "m.onnx"), "1.0.0", metadata=Metadata(), labels=())
    async with running(watch):
        await watch.load("m")
        assert table.select("m").identity.version == "1.0.0"
        unloading = asyncio.create_task(watch.unload("m"))
        await asyncio.sleep(0)
        with pytest.raises(ModelUnloaded):
            table.select("m")
        await unloading


@pytest.mark.parametrize(
    ("bias", "engine", "reason"), [(0.0, "onnxruntime-cuda", None), (1.0, "onnxruntime", "parity")]
)
async def test_a_gpu_that_tensorrt_does_not_run_on_is_used_by_onnx_runtime_where_it_answers_rightly(
    bias: float, engine: str, reason: str | None, tmp_path: Path, store: Store
) -> None:
    """What stands for CUDA here is the processor, with a file of its own."""
    stands_for_cuda = graphs.save(graphs.linear(np.eye(2) * 2 + bias), tmp_path / "cuda.onnx")

    def open_cuda(path: Path, signature: Signature, *, instances: int, threads: int) -> Engine:
        return load(stands_for_cuda, signature, instances=instances, threads=threads)

    table, metrics, engines = Table(), Metrics(), {"onnxruntime": load, "onnxruntime-cuda": open_cuda}
    settings = Settings(refresh_seconds=3600, instances=1, threads=1)
    watch = Watch(store, settings, engines, table, metrics, structlog.get_logger(), has_gpu=True)
    publish(store, "m", graphs.save(graphs.doubling(), tmp_path / "m.onnx"), "1.0.0", metadata=Metadata(), labels=())
    async with running(watch):
        await watch.load("m")
        assert table.select("m").identity.rung == engine
    told = {(*fall[3:], count) for fall, count in metrics.engine_fallbacks.items()}
    expected = {("tensorrt", "onnxruntime-cuda", "load", 1)}
    assert told == (expected | {("onnxruntime-cuda", "onnxruntime", reason, 1)} if reason else expected)
