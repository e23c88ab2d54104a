"""Triton's perf_analyzer, the binary: every way it sends tensors, and what it reads of the server's own counts.

A run takes three windows, each over after a second and REQUESTS answers. The option `--request-count` would be
quicker, but with it the program sometimes loses count of what was answered, and waits for ever.
"""

import json
import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.clients.client import ROOT, installed
from tests.service.process import Octet
from tests.service.wire import PATIENCE_SECONDS

REQUESTS = 16
ANY_SPREAD = "99999"  # percent
WINDOWS = ("--measurement-mode=count_windows", f"--measurement-request-count={REQUESTS}", "-s", ANY_SPREAD)


def analyze(server: Octet, model: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """One run against the model."""
    (cuda,) = (ROOT / "build" / "clients" / "perf_analyzer").glob("lib/python*/site-packages/nvidia/cuda_runtime/lib")
    return subprocess.run(
        [installed("perf_analyzer", "perf_analyzer"), "-u", f"127.0.0.1:{server.port}", "-m", model, *WINDOWS, *flags],
        env={**os.environ, "LD_LIBRARY_PATH": str(cuda)},
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE_SECONDS,
    )


def run(server: Octet, model: str, *flags: str, version: str = "1.0.0") -> str:
    """The report of a run whose requests were all answered, and counted as successes by the server."""
    page = f"/v2/models/{model}/versions/{version}/stats"
    before = _counts(server, page)
    done = analyze(server, model, *flags)
    report = done.stdout + done.stderr
    assert done.returncode == 0, report
    assert not re.search("error|warning|failed", report, re.IGNORECASE), report
    answered = re.search(r"Client: \n +Request count: (\d+)\n", report)
    assert answered, report
    assert int(answered[1]) >= 3 * REQUESTS
    grown = _counts(server, page) - before
    assert grown["success"] >= int(answered[1])
    assert not grown["fail"]
    return report


def _counts(server: Octet, page: str) -> Counter[str]:
    (stats,) = server.get(page).json()["model_stats"]
    return Counter({name: of["count"] for name, of in stats["inference_stats"].items()})


def formats(sent: str, asked: str) -> list[str]:
    return [f"--input-tensor-format={sent}", f"--output-tensor-format={asked}"]


def two_and(folder: Path, last: float) -> str:
    """A file with [1, 2] for an input and [2, last] for the output to be compared with."""
    file = folder / "data.json"
    data = {"data": [{"x": [1.0, 2.0]}], "validation_data": [{"y": [2.0, last]}]}
    file.write_text(json.dumps(data), "utf-8")
    return str(file)


@pytest.mark.parametrize("both", ["binary", "json"])
@pytest.mark.parametrize("concurrency", [1, 2, 4, 8])
def test_concurrency(server: Octet, tmp_path: Path, concurrency: int, both: str) -> None:
    """It compares every output with the one it expects."""
    data = ["--input-data", two_and(tmp_path, 4.0)]
    run(server, "measured", "--concurrency-range", str(concurrency), *data, *formats(both, both))


def test_it_would_see_another_output(server: Octet, tmp_path: Path) -> None:
    done = analyze(server, "measured", "--input-data", two_and(tmp_path, 5.0))
    assert done.returncode != 0
    assert "Output doesn't match expected output" in done.stderr


@pytest.mark.parametrize(("sent", "asked"), [("binary", "json"), ("json", "binary")])
def test_one_way_binary_the_other_json(server: Octet, sent: str, asked: str) -> None:
    run(server, "pair", *formats(sent, asked))


def test_asynchronous_requests(server: Octet) -> None:
    """It tells answers apart by the `id` that it gave."""
    run(server, "measured", "--async", "--concurrency-range", "4")


@pytest.mark.parametrize("both", ["binary", "json"])
def test_batches(server: Octet, both: str) -> None:
    run(server, "measured", "-b", "16", *formats(both, both))


@pytest.mark.parametrize("both", ["binary", "json"])
def test_a_dynamic_dimension(server: Octet, both: str) -> None:
    run(server, "size", "--shape", "x:7", *formats(both, both))


def test_a_single_dimension(server: Octet) -> None:
    """As JSON it sends one value for such an input, whatever shape it says: its own fault."""
    run(server, "half_plus_two", "--shape", "x:5")


@pytest.mark.parametrize("model", ["same_float16", "same_string", "same_bool"])
def test_datatypes(server: Octet, model: str) -> None:
    run(server, model)


@pytest.mark.parametrize("flags", [
    ["measured", "-b", "4", "--concurrency-range", "4"],
    ["same_string", "--string-length", "8"],
    ["size", "--shape", "x:7"],
], ids=" ".join)  # fmt: skip
def test_system_shared_memory(server: Octet, flags: list[str]) -> None:
    run(server, *flags, "--shared-memory=system")
    assert server.get("/v2/systemsharedmemory/status").json() == []


def test_of_several_versions_the_highest_answers(server: Octet) -> None:
    run(server, "adding", version="2.0.0")


def test_a_version(server: Octet) -> None:
    run(server, "adding", "-x", "1.2.0", version="1.2.0")


def test_a_major_version_and_the_servers_side_of_it(server: Octet) -> None:
    """It looks for the server's counts under the number that it reads of a version, so it finds none for `1.2.0`."""
    report = run(server, "adding", "-x", "1", version="1.2.0")
    counted = re.search(r"Successful request count: (\d+)", report)
    assert counted, report
    assert int(counted[1]) >= 3 * REQUESTS


def test_an_unknown_model_is_told(server: Octet) -> None:
    done = analyze(server, "dooble")
    assert done.returncode != 0
    assert "no model 'dooble'" in done.stderr
