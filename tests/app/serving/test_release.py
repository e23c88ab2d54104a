"""A servable that is closed lets go of its engine then and there, not when the collector comes by."""

import gc
import weakref

from tests.app.conftest import MakeServable


async def test_closing_frees_the_runners_without_the_collector(make_servable: MakeServable) -> None:
    servable = make_servable(instances=2)
    runners = [weakref.ref(worker._runner) for worker in servable._workers]
    assert all(runner() is not None for runner in runners)
    gc.disable()
    try:
        await servable.close()
        assert [runner() for runner in runners] == [None, None]
    finally:
        gc.enable()
