"""A service as the doors see it, without a door."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from semver import Version

from app.http.inference import Call
from app.lifespan import Service
from app.logs import Levels
from app.serving.table import ServedModel
from app.settings import Settings
from model_store.store import Store
from tests.app.conftest import MakeServable


@pytest.fixture
async def service(tmp_path: Path, make_servable: MakeServable) -> AsyncIterator[Service]:
    """A service of the model `m`, which doubles two numbers a row."""
    with Store.open(tmp_path / "store") as store:
        service = Service(Settings(store=tmp_path / "store"), store, Levels())
        service.table.models = {"m": ServedModel("m", {Version(1): make_servable()})}
        service.table.complete = True
        yield service
        service.close()


@pytest.fixture
def answered() -> list[Call]:
    """The calls that have their response."""
    return []
