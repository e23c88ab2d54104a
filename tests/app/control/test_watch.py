"""The watch beside a store that cannot be read; all else is tested with whole servers in tests/service/life."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
import structlog

from app.control.watch import Watch
from app.metrics import Metrics
from app.serving.table import Table
from app.settings import Settings
from model_store.store import Store


async def test_a_store_that_was_never_read_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    folder, away = tmp_path / "store", tmp_path / "away"
    table, metrics = Table(), Metrics()
    with Store.open(folder) as store:
        watch = Watch(store, Settings(refresh_seconds=3600), {}, table, metrics, structlog.get_logger())
        folder.rename(away)
        running = asyncio.create_task(watch.run())
        await watch.refresh()
        assert (table.complete, metrics.store_failures > 0) == (False, True)
        away.rename(folder)
        await watch.refresh()
        assert table.complete
        await asyncio.wait_for(watch.settled(), 10)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await watch.close()


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
        running = asyncio.create_task(watch.run())
        async with asyncio.timeout(10):
            await watch.refresh()
            await watch.refresh()
        assert len(acted) > 1
        assert not running.done()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
