"""A store to publish into, and servers on it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from app.control.publish import publish as publish_file
from model_store.manifest import Metadata
from model_store.store import Store
from tests.service.life.server import Server

Publish = Callable[..., Store]
"""`(name, version, file, *labels, metadata=...)`: publish as any other process would; gives the store."""
Start = Callable[..., Server]
"""`(*flags, split=..., **environment)`: a server of `store_folder` that has greeted."""

NO_METADATA = Metadata()


@contextmanager
def store_at(folder: Path) -> Iterator[Publish]:
    """Make a store, for as long as something is to be published."""
    with Store.open(folder) as store:

        def publish(name: str, version: str, file: Path, *labels: str, metadata: Metadata = NO_METADATA) -> Store:
            publish_file(store, name, file, version, metadata=metadata, labels=labels)
            return store

        yield publish


@contextmanager
def server_on(
    store: Path, folder: Path, *flags: str, split: tuple[int, int] | None = (1, 1), **environment: str
) -> Iterator[Server]:
    """A server that has greeted, and that is gone afterwards, however the test ended.

    It has one worker of one thread, unless the test is about that: measuring takes a second a model.
    """
    given = () if split is None else ("--instances", str(split[0]), "--threads", str(split[1]))
    server = Server(folder, store, (*given, *flags), environment)
    try:
        yield server.greeted()
    finally:
        server.discard()


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def publish(store_folder: Path) -> Iterator[Publish]:
    with store_at(store_folder) as publish:
        yield publish


@pytest.fixture
def start(tmp_path: Path, store_folder: Path) -> Iterator[Start]:
    with ExitStack() as servers:

        def start(*flags: str, split: tuple[int, int] | None = (1, 1), **environment: str) -> Server:
            folder = tmp_path / f"server-{len(list(tmp_path.glob('server-*')))}"
            return servers.enter_context(server_on(store_folder, folder, *flags, split=split, **environment))

        yield start
