"""Variants and versions come and go while requests run: whatever the order, each answer is that of what it names."""

import asyncio
import random
from collections import defaultdict
from pathlib import Path

import httpx

from model_store.store import Store
from tests import graphs
from tests.service.conftest import Publish, Start
from tests.service.process import Octet, eventually
from tests.service.variants import add_variant, set_speed

NAMES = ("a", "b", "c")
Biases = defaultdict[tuple[str, str], set[float]]
"""(version, variant) -> what artifacts of this name ever added to their input."""


class Writer:
    """Changes the store at random, as other processes would."""

    def __init__(self, store: Store, folder: Path, server: Octet, publish: Publish, seed: int) -> None:
        self._store = store
        self._folder = folder
        self._server = server
        self._publish = publish
        self._random = random.Random(seed)
        self._made = 1
        self.biases: Biases = defaultdict(set, {("1.0.0", "fp32"): {1.0}})

    def change(self) -> None:
        name = self._random.choice(NAMES)
        record = self._store.resolve("m", self._random.choice([one.version for one in self._store.versions("m")]))
        has = name in [variant.name for variant in record.variants]
        kind = self._random.random()
        if not has:
            bias = self._next_bias(record.version, name)
            speedup = self._random.uniform(0.5, 3)
            add_variant(self._store, self._folder, record, name, graphs.adding(bias), speedup=speedup, min_speedup=0.4)
        elif kind < 0.4:
            set_speed(self._store, record, name, self._random.uniform(0.2, 3))
        elif kind < 0.7:
            self._store.drop_variant(record, name)
        elif kind < 0.8:
            self._store.gc()
        elif kind < 0.9:
            self._server.refresh()
        elif len(self._store.versions("m")) > 1:
            self._store.retire("m", record.version)
        else:
            version = f"1.0.{self._made}"
            self._publish("m", version, graphs.adding(self._next_bias(version, "fp32")))

    def _next_bias(self, version: str, variant: str) -> float:
        self._made += 1
        self.biases[version, variant].add(float(self._made))
        return float(self._made)


async def test_every_answer_is_of_the_version_and_variant_that_it_names(
    tmp_path: Path, publish: Publish, start: Start
) -> None:
    store = publish("m", "1.0.0", graphs.adding(1))
    server = start("--refresh-seconds", "0.02")
    writer = Writer(store, tmp_path, server, publish, seed=5)
    done = asyncio.Event()
    seen = set()

    async def ask(path: str, allowed: set[int]) -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            while not done.is_set():
                answer = await client.post(f"/v1/models/{path}:predict", json={"instances": [[0, 5]]})
                assert answer.status_code in allowed, (path, answer.text)
                if answer.status_code == 200:
                    named = answer.headers["octet-model-version"], answer.headers["octet-variant"]
                    seen.add(named)
                    ((bias, other),) = answer.json()["predictions"]
                    assert bias in writer.biases[named], (path, named, bias)
                    assert other == bias + 5

    clients = asyncio.gather(
        *(ask("m", {200}) for _ in range(2)), *(ask(f"m/variants/{name}", {200, 404, 503}) for name in NAMES)
    )
    try:
        for _ in range(120):
            await asyncio.to_thread(writer.change)
            assert not clients.done() or clients.result()
    finally:
        done.set()
        await clients
    assert len(seen) > 5, "the server followed"

    record = store.resolve("m")
    if "a" in [variant.name for variant in record.variants]:
        record = store.drop_variant(record, "a")
    record = add_variant(store, tmp_path, record, "a", graphs.adding(9999), speedup=9.0)
    eventually(lambda: server.rows("m", [[0, 0]]) == [[9999, 9999]], "the fastest serves, as it is now")
    server.client.post("/v2/repository/models/m/unload")
    server.until("octet_model_info", lambda count: count == 0)
    server.stop()
    assert not [line for line in server.log() if line["level"] == "error"]
