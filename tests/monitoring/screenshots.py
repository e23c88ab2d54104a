"""Pictures for the documentation, of real servers: `make screenshots`.

Octet answers the digits model's test set to one, two and four clients, Debian's Prometheus looks on, and a headless
Chromium takes the picture.
"""

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from urllib.parse import urlencode

import httpx
import numpy as np
import onnx

from tests.monitoring.prometheus import ROOT, Prometheus
from tests.service.conftest import store_at
from tests.service.jobs import DIGITS
from tests.service.process import Octet

IMAGES = ROOT / "docs" / "images"
_CLIENTS = (1, 2, 4, 2)
_PHASE_SECONDS = 25
_SIZE = (1280, 1540)
_LATENCY = 'histogram_quantile(0.99, sum by (model, le) (rate(octet_request_duration_seconds_bucket{model!=""}[15s])))'
_RATE = "sum by (model, code) (rate(octet_requests_total[15s]))"


def main() -> None:
    """Write docs/images/prometheus.png."""
    IMAGES.mkdir(exist_ok=True)
    with TemporaryDirectory() as name:
        folder = Path(name)
        with store_at(folder / "store") as publish:
            publish("digits", "1.0.0", onnx.load(DIGITS / "digits.onnx"), "stable")
        with (
            Octet(folder, folder / "store") as octet,
            Prometheus(folder, f"127.0.0.1:{octet.port}") as prometheus,
        ):
            for clients in _CLIENTS:
                ask(octet.url, clients)
            take(graph(prometheus.url, _LATENCY, _RATE), IMAGES / "prometheus.png", folder)


def ask(url: str, clients: int) -> None:
    """So many clients ask for one row after the other, for a phase."""
    rows = np.load(DIGITS / "test.npz")["image"][:50].tolist()
    bodies = [json.dumps({"instances": [row]}) for row in rows]
    over = Event()

    def one() -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            while not over.is_set():
                for body in bodies:
                    client.post("/v1/models/digits:predict", content=body).raise_for_status()

    with ThreadPoolExecutor(clients) as pool:
        asking = [pool.submit(one) for _ in range(clients)]
        time.sleep(_PHASE_SECONDS)
        over.set()
    for client in asking:
        client.result()


def graph(url: str, *exprs: str) -> str:
    """Prometheus' page that draws these."""
    asked = {}
    for place, expr in enumerate(exprs):
        asked |= {f"g{place}.expr": expr, f"g{place}.tab": "0", f"g{place}.range_input": "100s"}
    return f"{url}/graph?{urlencode(asked)}"


def take(url: str, picture: Path, folder: Path) -> None:
    """What a browser shows there, after ten seconds of its own clock. Its profile lies in `folder`."""
    subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",  # which root must not have; it sees pages of loopback alone
            "--hide-scrollbars",
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={_SIZE[0]},{_SIZE[1]}",
            "--virtual-time-budget=10000",
            f"--screenshot={picture}",
            url,
        ],
        check=True,
        timeout=120,
        stderr=subprocess.DEVNULL,
    )
    print(f"{picture.relative_to(ROOT)} is new")  # noqa: T201


if __name__ == "__main__":
    main()
