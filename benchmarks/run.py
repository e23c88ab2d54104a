"""One run of the benchmark: where it works, how long, and what it sends."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.load import Load, drive, write_bodies
from benchmarks.networks import NETWORKS, SEQUENCE, VOCABULARY
from benchmarks.servers import Server, publish

ROWS: dict[str, Callable[[], object]] = {
    "mlp": lambda: [round(random.random(), 3) for _ in range(64)],
    "encoder": lambda: [random.randrange(VOCABULARY) for _ in range(SEQUENCE)],
    # One decimal: with its comma a number has the four bytes that it has as float32.
    "resnet50": lambda: [[[random.randrange(10) / 10 for _ in range(224)] for _ in range(224)] for _ in range(3)],
}
"""Network -> one random row, as it stands in `instances`."""


@dataclass(frozen=True, slots=True)
class Run:
    """`rounds` rounds of `seconds` each for every server in every case; files go into `folder`."""

    folder: Path
    rounds: int
    seconds: int

    def network(self, name: str) -> Path:
        """The ONNX file of the network `name`, made on first use."""
        path = self.folder / f"{name}.onnx"
        return path if path.exists() else NETWORKS[name](path)

    def store(self, name: str) -> Path:
        """The store that holds the network `name` as version 1.0.0, made on first use."""
        store = self.folder / f"store-{name}"
        if not store.exists():
            publish(store, name, self.network(name), "1.0.0")
        return store

    def bodies(self, name: str) -> list[Path]:
        """Eight requests of one row each, in files, made on first use."""
        made = sorted(self.folder.glob(f"{name}-*.json"))
        return made or write_bodies(self.folder, name, [orjson.dumps({"instances": [ROWS[name]()]}) for _ in range(8)])

    def answer(self, server: Server, name: str) -> Path:
        """A file with what `server` answers to the first body."""
        status, _, body = server.request("POST", path(name), self.bodies(name)[0].read_bytes())
        if status != 200:
            raise RuntimeError(f"{path(name)} answered {status}: {body.decode()}")
        file = self.folder / f"{name}.answer"
        file.write_bytes(body)
        return file

    def drive(self, server: Server, name: str, connections: int) -> Load:
        """One round."""
        return drive(url(server, name), self.bodies(name), connections, self.seconds)


def path(name: str) -> str:
    """Where the network `name` is asked, at Octet and at the handler it is compared with."""
    return f"/v1/models/{name}:predict"


def url(server: Server, name: str) -> str:
    """The same with the server's address."""
    return f"http://127.0.0.1:{server.port}{path(name)}"
