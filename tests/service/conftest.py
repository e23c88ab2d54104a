"""Stores to publish into, and server processes on them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import ModelProto

from app.control.publish import publish as publish_file
from engines.onnx_file import read_onnx
from model_store.manifest import Metadata
from model_store.records import NewVersion
from model_store.store import Store
from tests.graphs import operator, save
from tests.service.jobs import DIGITS
from tests.service.networks import OF_THE_DOORS
from tests.service.process import ASGI_DOOR, OCTET, Octet

# For the models of the doors: batches that large requests are split for, a body limit that a test can go over.
FLAGS = ("--max-batch-rows", "16", "--max-body-bytes", "262144")
NO_METADATA = Metadata()

Serve = Callable[..., Octet]
"""`serve(*flags)`: a server of the models of the doors, with FLAGS and these."""
Publish = Callable[..., Store]
"""`(name, version, model, *labels, metadata=...)`: publish as any other process would; gives the store."""
Start = Callable[..., Octet]
"""`(*flags, split=..., command=...)`: a server of `store_folder`."""


@contextmanager
def store_at(folder: Path) -> Iterator[Publish]:
    """Make a store, for as long as something is to be published."""
    with Store.open(folder) as store:

        def publish(
            name: str, version: str, model: ModelProto, *labels: str, metadata: Metadata = NO_METADATA
        ) -> Store:
            file = save(model, folder.with_name(f"{name}-{version}.onnx"))
            publish_file(store, name, file, version, metadata=metadata, labels=labels)
            return store

        yield publish


def put_refused(store: Store, name: str, version: str, folder: Path) -> None:
    """Publish what ONNX Runtime has no kernel for, Sin of bfloat16, as one that has it would on another machine."""
    file = save(operator("Sin", "bfloat16"), folder / "refused.onnx")
    store.publish(NewVersion(name, version, file, {}, read_onnx(file).signature.to_json(), NO_METADATA))


def blob_of(store: Store, store_folder: Path, name: str, version: str) -> Path:
    """Where the bytes of a version's only file lie."""
    record = store.resolve(name, version)
    return store_folder / "blobs" / "sha256" / record.variants[0].files[0].digest


def corrupt(blob: Path) -> bytes:
    """Turn the last byte; gives what was there."""
    sound = blob.read_bytes()
    blob.chmod(0o644)
    blob.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    return sound


@pytest.fixture(scope="session")
def doors_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with every model of the doors as 1.2.3, labelled `stable`. Tests leave it as it is."""
    folder = tmp_path_factory.mktemp("doors") / "store"
    with store_at(folder) as publish:
        for name, made in OF_THE_DOORS.items():
            publish(name, "1.2.3", made(), "stable")
    return folder


@pytest.fixture(scope="session")
def server(doors_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Octet]:
    """The server that most tests share, behind its fast door."""
    with Octet(tmp_path_factory.mktemp("server"), doors_store, *FLAGS) as octet:
        yield octet
        octet.stop()


@pytest.fixture(scope="session")
def asgi_server(doors_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Octet]:
    """The same server behind its ASGI door."""
    with Octet(tmp_path_factory.mktemp("server"), doors_store, *FLAGS, command=ASGI_DOOR) as octet:
        yield octet
        octet.stop()


@pytest.fixture(params=["server", "asgi_server"])
def door(request: pytest.FixtureRequest) -> Octet:
    """Either of the two, one after the other."""
    octet: Octet = request.getfixturevalue(request.param)
    return octet


@pytest.fixture
def serve(doors_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts servers of the test's own, which must end cleanly after it."""
    with ExitStack() as servers:

        def serve(*flags: str) -> Octet:
            octet = servers.enter_context(Octet(tmp_path_factory.mktemp("server"), doors_store, *FLAGS, *flags))
            servers.callback(octet.stop)
            return octet

        yield serve


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def publish(store_folder: Path) -> Iterator[Publish]:
    with store_at(store_folder) as publish:
        yield publish


@pytest.fixture
def start(store_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts servers that may end in any way."""
    with ExitStack() as servers:

        def start(*flags: str, split: tuple[int, int] | None = (1, 1), command: tuple[str, ...] = (OCTET,)) -> Octet:
            folder = tmp_path_factory.mktemp("server")
            return servers.enter_context(Octet(folder, store_folder, *flags, split=split, command=command))

        yield start


@pytest.fixture
def start_digits(publish: Publish, start: Start) -> Start:
    """Starts servers with the digits model, which take jobs."""
    publish("digits", "1.0.0", onnx.load(DIGITS / "digits.onnx"))

    def start_digits(*flags: str, **how: Any) -> Octet:
        return start("--rows", str(DIGITS), *flags, **how)

    return start_digits
