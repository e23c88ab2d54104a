"""A store on a real disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from model_store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        yield opened
