"""What a job that quantizes takes from those that are served meanwhile."""

import json
import time
from statistics import median
from typing import Any

from benchmarks.load import Load
from benchmarks.quantized import DIGITS
from benchmarks.results import Result
from benchmarks.run import Run
from benchmarks.servers import Server, octet, publish

_JOB = {"calibration": "calibration.npz", "evaluate": "test.npz"}
_STARTS_WITHIN_SECONDS = 60


def job(run: Run) -> list[Result]:
    """The digits model while it is quantized, against the same server left alone: by turns, as it was published."""
    store = run.folder / "store-job"
    publish(store, "digits", DIGITS / "digits.onnx", "1.0.0")
    with octet(store, "--rows", str(DIGITS), "--variant", "fp32", "--refresh-seconds", "3600") as server:
        run.drive(server, "digits", 32)  # warm-up
        return [result for connections in (1, 32) for result in _beside_a_job(run, server, connections)]


def _beside_a_job(run: Run, server: Server, connections: int) -> list[Result]:
    quiet, busy = [], []
    for _ in range(run.rounds):
        quiet.append(run.drive(server, "digits", connections))
        busy.append(_drive_beside_a_job(run, server, connections))
    pairs = list(zip(busy, quiet, strict=True))
    case = f"{connections} connections while a job runs, against the same server without"
    rates, p50s, p99s = (
        [median(getattr(load, what) for load in loads) for loads in (busy, quiet)]
        for what in ("per_second", "p50_ms", "p99_ms")
    )
    return [
        Result(
            part="job",
            case=f"{case}: rate",
            measured="{:,.0f} and {:,.0f} req/s, ".format(*rates) + "p50 {:.2f} and {:.2f} ms".format(*p50s),
            value=median(during.per_second / before.per_second for during, before in pairs),
            unit="x",
            target=0.9,
        ),
        Result(
            part="job",
            case=f"{case}: p99",
            measured="{:.2f} and {:.2f} ms".format(*p99s),
            value=median(during.p99_ms / before.p99_ms for during, before in pairs),
            unit="x",
        ),
    ]


def _drive_beside_a_job(run: Run, server: Server, connections: int) -> Load:
    number = _ask(server, "POST", "/v1/models/digits/versions/1.0.0:quantize", _JOB)["id"]
    _until_at_work(server, number)
    load = run.drive(server, "digits", connections)
    ended = _ask(server, "POST", f"/v1/jobs/{number}:cancel")
    if ended["state"] != "cancelled":
        raise RuntimeError(f"the job was over before the round was: {ended}")
    return load


def _until_at_work(server: Server, number: int) -> None:
    end = time.monotonic() + _STARTS_WITHIN_SECONDS
    while _ask(server, "GET", f"/v1/jobs/{number}")["progress"] is None:
        if time.monotonic() > end:
            raise RuntimeError(f"job {number} was not at work within {_STARTS_WITHIN_SECONDS} s")
        time.sleep(0.05)


def _ask(server: Server, method: str, path: str, body: object = None) -> dict[str, Any]:
    status, _, answer = server.request(method, path, json.dumps(body).encode() if body else b"")
    if status not in (200, 202):
        raise RuntimeError(f"{path} answered {status}: {answer.decode()}")
    document: dict[str, Any] = json.loads(answer)
    return document
