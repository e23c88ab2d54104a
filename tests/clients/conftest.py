"""One server for all clients, and the clients."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.clients.client import Client
from tests.clients.served import SERVED, half_plus
from tests.graphs import adding
from tests.service.conftest import store_at
from tests.service.process import Octet

VERSIONS = {"1.0.0": 1.0, "1.2.0": 2.0, "2.0.0": 3.0}
"""The versions of the model `adding`, and what each adds."""


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with every model of SERVED as 1.0.0, the versions of `adding`, and half_plus_three as 123.0.0."""
    folder = tmp_path_factory.mktemp("clients") / "store"
    with store_at(folder) as publish:
        for name, made in SERVED.items():
            publish(name, "1.0.0", made)
        for version, bias in VERSIONS.items():
            publish("adding", version, adding(bias))
        publish("half_plus_three", "123.0.0", half_plus(3), "stable")
    return folder


@pytest.fixture(scope="session")
def server(store_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Octet]:
    with Octet(tmp_path_factory.mktemp("server"), store_folder, "--shared-memory") as octet:
        yield octet
        octet.stop()


Connect = Callable[..., Client]
"""`connect(client, script, *arguments)`: a client for as long as the module's tests run."""


@pytest.fixture(scope="module")
def connect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connect]:
    with ExitStack() as clients:

        def connect(client: str, script: str, *arguments: str) -> Client:
            folder = tmp_path_factory.mktemp("client")
            return clients.enter_context(Client(client, script, *arguments, folder=folder))

        yield connect


@pytest.fixture(scope="module", params=["sync", "aio"])
def triton(request: pytest.FixtureRequest, server: Octet, connect: Connect) -> Client:
    """tritonclient, each of its two HTTP clients."""
    return connect("triton", f"triton_{request.param}.py", f"127.0.0.1:{server.port}")
