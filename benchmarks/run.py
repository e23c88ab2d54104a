"""One run of the benchmark: where it works, how long, and what it sends."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from benchmarks.load import Load, drive, write_bodies
from benchmarks.networks import NETWORKS, SEQUENCE, VOCABULARY
from benchmarks.servers import Server, publish

ROWS: dict[str, Callable[[], object]] = {
    "mlp": lambda: [round(random.random(), 3) for _ in range(64)],
    "encoder": lambda: [random.randrange(VOCABULARY) for _ in range(SEQUENCE)],
    "digits": lambda: [[[random.randrange(17) for _ in range(8)] for _ in range(8)]],
}
"""Network -> one random row, as it stands in `instances`."""
IMAGE = (1, 3, 224, 224)


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
        made = sorted(self.folder.glob(f"{name}-[0-9].*"))
        if made:
            return made
        if name in ROWS:
            return write_bodies(self.folder, name, [orjson.dumps({"instances": [ROWS[name]()]}) for _ in range(8)])
        head = binary_head()
        images = (np.random.default_rng(seed).random(IMAGE, np.float32) for seed in range(8))
        return write_bodies(self.folder, name, [head + image.tobytes() for image in images], len(head))

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
    return f"/v1/models/{name}:predict" if name in ROWS else f"/v2/models/{name}/infer"


def binary_head() -> bytes:
    """The JSON before the bytes of one IMAGE; the answer is to be binary too."""
    size_bytes = 4 * math.prod(IMAGE)
    tensor = {"name": "image", "shape": IMAGE, "datatype": "FP32", "parameters": {"binary_data_size": size_bytes}}
    return orjson.dumps({"parameters": {"binary_data_output": True}, "inputs": [tensor]})


def url(server: Server, name: str) -> str:
    """The same with the server's address."""
    return f"http://127.0.0.1:{server.port}{path(name)}"
