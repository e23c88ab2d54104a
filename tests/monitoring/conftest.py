"""An Octet under load, to which all has happened that can be brought about, and a Prometheus that looks on."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import httpx
import pytest

from tests import graphs
from tests.monitoring.prometheus import Prometheus
from tests.service.conftest import corrupt, put_refused, store_at
from tests.service.process import Octet, eventually
from tests.service.variants import add_variant

_PAUSE_SECONDS = 0.02
_ROWS = {"instances": [[1, 2], [3, 4]]}
# What is asked again and again: two variants that answer, then a malformed body, and a model of which no version could
# be loaded.
_ASKED = (
    ("m", _ROWS, 200),
    ("m/variants/fp32", _ROWS, 200),
    ("m", {}, 400),
    ("broken", _ROWS, 503),
)


@contextmanager
def load(url: str) -> Iterator[None]:
    """One client, some ten requests a second of each kind, as long as the `with` lasts."""
    done, wrong = Event(), list[str]()

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            while not done.wait(_PAUSE_SECONDS):
                for path, body, status in _ASKED:
                    answer = client.post(f"/v1/models/{path}:predict", json=body)
                    if answer.status_code != status:
                        wrong.append(f"{path}: {answer.status_code} {answer.text}")

    asking = Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        done.set()
        asking.join()
    assert not wrong


@pytest.fixture(scope="session")
def octet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Octet]:
    folder = tmp_path_factory.mktemp("octet")
    with store_at(folder / "store") as publish:
        store = publish("m", "1.0.0", graphs.adding(1))
        record = add_variant(store, folder, store.resolve("m"), "int8", graphs.adding(2), speedup=2.0)
        record = add_variant(store, folder, record, "fp16", graphs.adding(3), speedup=3.0)
        (damaged,) = [variant for variant in record.variants if variant.name == "fp16"]
        corrupt(folder / "store" / "blobs" / "sha256" / damaged.digest)
        put_refused(store, "broken", "1.0.0", folder)
    with Octet(folder, folder / "store") as octet:
        eventually(lambda: octet.predict("m/variants/fp32", _ROWS).status_code == 200, "it is loaded beside int8")
        with load(octet.url):
            yield octet


@pytest.fixture(scope="session")
def prometheus(octet: Octet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with Prometheus(tmp_path_factory.mktemp("prometheus"), f"127.0.0.1:{octet.port}") as prometheus:
        yield prometheus
