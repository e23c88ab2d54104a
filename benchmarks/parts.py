"""The parts of the benchmark: each takes a Run and gives its Results.

Comparisons alternate round by round, and a ratio is the median of the ratios within the rounds: whatever else the
machine does hits both alike.
"""

import subprocess
import sys
from collections.abc import Callable
from statistics import median

from benchmarks.bare import best_split, rows_per_second
from benchmarks.codecs import codecs
from benchmarks.jobs import job
from benchmarks.load import Load, command, drive, parse
from benchmarks.networks import mlp
from benchmarks.quantized import quantized
from benchmarks.results import Result
from benchmarks.run import Run, url
from benchmarks.servers import Server, comparison, octet, publish

AGAINST = {
    "constant": {1: 0.55, 8: 0.85, 32: 1.25, 64: 1.4},
    "handler": {1: 1.6, 8: 4.0, 32: 7.0, 64: 7.0},
}
"""Comparison -> connections -> the ratio that Octet is to reach at least."""


def tiny(run: Run) -> list[Result]:
    """The MLP over JSON against a constant and against a FastAPI handler."""
    with octet(run.store("mlp")) as ours:
        answer, model = run.answer(ours, "mlp"), run.network("mlp")
        with comparison("constant", answer, model) as constant, comparison("handler", answer, model) as handler:
            servers = {"octet": ours, "constant": constant, "handler": handler}
            for server in servers.values():
                run.drive(server, "mlp", 32)  # warm-up
            return [result for connections in AGAINST["constant"] for result in _tiny(run, servers, connections)]


def _tiny(run: Run, servers: dict[str, Server], connections: int) -> list[Result]:
    rounds = [
        {name: run.drive(server, "mlp", connections).per_second for name, server in servers.items()}
        for _ in range(run.rounds)
    ]
    middle = {name: median(one[name] for one in rounds) for name in servers}
    return [
        Result(
            part="tiny",
            case=f"{connections} connections, against the {name}",
            measured=f"{middle['octet']:,.0f} and {middle[name]:,.0f} req/s",
            value=median(one["octet"] / one[name] for one in rounds),
            unit="x",
            target=targets[connections],
        )
        for name, targets in AGAINST.items()
    ]


def metrics(run: Run) -> list[Result]:
    """What the histograms cost: the same server with them and without them."""
    launcher = [sys.executable, "-m", "benchmarks.without_metrics"]
    store = run.store("mlp")
    with octet(store) as on, octet(store, launcher=launcher) as off:
        rounds = [[run.drive(server, "mlp", 32).per_second for server in (on, off)] for _ in range(run.rounds + 1)][1:]
    return [
        Result(
            part="metrics",
            case="32 connections, on against off",
            measured="{:,.0f} and {:,.0f} req/s".format(*(median(side) for side in zip(*rounds, strict=True))),
            value=median(with_them / without for with_them, without in rounds),
            unit="x",
        )
    ]


def encoder(run: Run) -> list[Result]:
    """6 layers, 384 wide, 128 tokens, over JSON, against bare ONNX Runtime."""
    return _against_bare(run, "encoder", target=0.95)


def resnet50(run: Run) -> list[Result]:
    """ResNet-50, images as bytes, against bare ONNX Runtime."""
    return _against_bare(run, "resnet50", target=0.95)


def _against_bare(run: Run, name: str, target: float) -> list[Result]:
    model = run.network(name)
    split = best_split(model, seconds=run.seconds)
    rounds = []
    with octet(run.store(name), "--deadline-ms", "60000") as ours:
        for _ in range(run.rounds + 1):
            bare = rows_per_second(model, 2 * run.seconds, split)
            rounds.append((drive(url(ours, name), run.bodies(name), 32, 2 * run.seconds).per_second, bare))
    del rounds[0]  # warm-up
    return [
        Result(
            part=name,
            case=f"32 connections, against bare ONNX Runtime, {split} instances x threads x rows",
            measured="{:.1f} and {:.1f} rows/s".format(*(median(side) for side in zip(*rounds, strict=True))),
            value=median(ours / bare for ours, bare in rounds),
            unit="x",
            target=target,
        )
    ]


def start(run: Run) -> list[Result]:
    """From the command to ready, and the memory it then has, with the MLP."""
    seconds, ready_mb, loaded_mb = [], [], []
    for _ in range(run.rounds):
        with octet(run.store("mlp")) as server:
            seconds.append(server.seconds_to_ready)
            ready_mb.append(server.resident_mb())
            run.drive(server, "mlp", 32)
            loaded_mb.append(server.resident_mb())
    memory = f"{median(ready_mb):.0f} MB, {median(loaded_mb):.0f} MB after load"
    ready = f"{min(seconds):.2f} to {max(seconds):.2f} s"
    return [
        Result("start", "until ready", ready, median(seconds), "s", target=1.5, lower_is_better=True),
        Result("start", "resident memory", memory, median(ready_mb), "MB", target=130, lower_is_better=True),
    ]


def swap(run: Run) -> list[Result]:
    """The p99 while one version replaces another, beside the p99 of the same server left alone."""
    store = run.folder / "store-swap"
    publish(store, "mlp", run.network("mlp"), "1.0.0")
    quiet, swapped = [], []
    with octet(store, "--refresh-seconds", "3600") as server:
        run.drive(server, "mlp", 32)  # warm-up
        for number in range(run.rounds):
            version = f"1.{number + 1}.0"
            quiet.append(run.drive(server, "mlp", 32))
            publish(store, "mlp", mlp(run.folder / "next.onnx", seed=number + 1), version)
            swapped.append(_drive_through_a_swap(run, server, version))
    before, during = (median(load.p99_ms for load in loads) for loads in (quiet, swapped))
    worst = [max(load.worst_ms for load in loads) for loads in (quiet, swapped)]
    return [
        Result(
            part="swap",
            case="p99 at 32 connections during a hot swap, against quiet; no request failed",
            measured=f"{during:.2f} and {before:.2f} ms, worst {worst[1]:.1f} and {worst[0]:.1f} ms",
            value=during / before,
            unit="x",
        )
    ]


def _drive_through_a_swap(run: Run, server: Server, version: str) -> Load:
    """One round, in the midst of which the server takes up `version`, which is in the store already."""
    words = command(url(server, "mlp"), run.bodies("mlp"), 32, run.seconds)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as wrk:
        try:
            wrk.wait(run.seconds / 3)
        except subprocess.TimeoutExpired:
            server.request("POST", "/v1/store:refresh")
        output, _ = wrk.communicate()
    load = parse(output)
    status, _, body = server.request("GET", f"/v1/models/mlp/versions/{version}")
    if load.refused or load.broken or status != 200 or b"AVAILABLE" not in body:
        raise RuntimeError(f"the swap to {version} went wrong: {load}; {status} {body.decode()}")
    return load


PARTS: dict[str, Callable[[Run], list[Result]]] = {
    "tiny": tiny,
    "codecs": codecs,
    "metrics": metrics,
    "encoder": encoder,
    "resnet50": resnet50,
    "quantized": quantized,
    "start": start,
    "swap": swap,
    "job": job,
}
