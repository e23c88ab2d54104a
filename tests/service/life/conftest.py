"""A store to publish into, and servers on it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.control.publish import publish as publish_file
from model_store.manifest import Metadata
from model_store.store import Store
from tests.service.life.server import Server

Publish = Callable[..., Store]
"""`(name, version, file, *labels, metadata=...)`: publish as any other process would; gives the store."""
Start = Callable[..., Server]
"""`(*flags, store=..., split=..., **environment)`: a server that has greeted."""


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def publish(store_folder: Path) -> Iterator[Publish]:
    with Store.open(store_folder) as store:

        def publish(name: str, version: str, file: Path, *labels: str, metadata: Metadata = Metadata()) -> Store:
            publish_file(store, name, file, version, metadata=metadata, labels=labels)
            return store

        yield publish


@pytest.fixture
def start(tmp_path: Path, store_folder: Path) -> Iterator[Start]:
    servers: list[Server] = []

    def start(*flags: str, split: tuple[int, int] | None = (1, 1), **environment: str) -> Server:
        """One worker of one thread, unless the test is about that: measuring takes a second a model."""
        given = () if split is None else ("--instances", str(split[0]), "--threads", str(split[1]))
        server = Server(tmp_path / f"server-{len(servers)}", store_folder, (*given, *flags), environment)
        servers.append(server)
        return server.greeted()

    yield start
    for server in servers:
        server.discard()
