"""A store with the door models, and server processes on it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.control.publish import publish
from model_store.manifest import Metadata
from model_store.store import Store
from tests.service.door_models import MODELS
from tests.service.process import ASGI_DOOR, Octet

# One worker of one thread a model, so that what is queued is known; batches that large requests are split for;
# a body limit that a test can go over.
FLAGS = ("--instances", "1", "--threads", "1", "--max-batch-rows", "16", "--max-body-bytes", "262144")

Serve = Callable[..., Octet]
"""`serve(*flags)`: a ready server of `model_store_folder` with FLAGS and these."""


@pytest.fixture(scope="session")
def model_store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with every door model as 1.2.3, labelled `stable`. Tests leave it as it is."""
    folder = tmp_path_factory.mktemp("doors")
    with Store.open(folder / "store") as store:
        for name, make in MODELS.items():
            file = make(folder / f"{name}.onnx")
            publish(store, name, file, "1.2.3", metadata=Metadata(), labels=("stable",))
    return folder / "store"


@pytest.fixture(scope="session")
def server(model_store_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Octet]:
    """The server that most tests share, behind its fast door."""
    octet = Octet(tmp_path_factory.mktemp("server"), model_store_folder, *FLAGS)
    yield octet
    octet.stop()


@pytest.fixture(scope="session")
def asgi_server(model_store_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Octet]:
    """The same server behind its ASGI door."""
    octet = Octet(tmp_path_factory.mktemp("server"), model_store_folder, *FLAGS, command=ASGI_DOOR)
    yield octet
    octet.stop()


@pytest.fixture
def serve(model_store_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts servers of the test's own."""
    started: list[Octet] = []

    def serve(*flags: str) -> Octet:
        started.append(Octet(tmp_path_factory.mktemp("server"), model_store_folder, *FLAGS, *flags))
        return started[-1]

    yield serve
    for octet in started:
        octet.stop()
