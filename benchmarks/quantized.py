"""What `octet quantize` gains with no option set: latency, size, and throughput as it is then served."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from benchmarks.load import drive
from benchmarks.networks import SEQUENCE, VOCABULARY
from benchmarks.results import Result
from benchmarks.run import IMAGE, Run, url
from benchmarks.servers import BIN, ROOT, octet, publish

DIGITS = ROOT / "examples" / "digits"
_ROWS = 64


class Goal(NamedTuple):
    """What a network is to reach beside its FP32 in ONNX Runtime, in the same run."""

    alone: float
    """Speed-up of a lone row and of a batch of 8, with one thread, where ONNX Runtime is the only engine."""
    any_engine: float
    """The same by whichever engine is fastest."""
    size: float


GOALS = {"digits": Goal(2.8, 2.8, 0.275), "encoder": Goal(2.3, 3.0, 0.26), "resnet50": Goal(3.2, 3.6, 0.26)}

_INPUTS: dict[str, Callable[[np.random.Generator], dict[str, Any]]] = {
    "encoder": lambda random: {"ids": random.integers(0, VOCABULARY, (_ROWS, SEQUENCE))},
    "resnet50": lambda random: {"image": random.standard_normal((_ROWS, *IMAGE[1:]), np.float32)},
}


def quantized(run: Run) -> list[Result]:
    """The digits model on its real rows; the others have random weights, so that only their speed is judged."""
    return [result for name in GOALS for result in _quantized(run, name)]


def _quantized(run: Run, name: str) -> list[Result]:
    store = run.folder / f"store-quantized-{name}"
    publish(store, name, DIGITS / "digits.onnx" if name == "digits" else run.network(name), "1.0.0")
    reports = _quantize(run, name, store)
    goal = GOALS[name]
    alone = _best([report for report in reports if report["engine"] == "onnxruntime"])
    best = _best(reports)
    results = [*_gained(name, alone, "ONNX Runtime alone", goal.alone), _size(name, best)]
    if name != "digits":
        results += _gained(name, best, "any engine", goal.any_engine)
        results.append(_served(run, name, store, best["speed"]["throughput_ratio"]))
    return results


def _quantize(run: Run, name: str, store: Path) -> list[dict[str, Any]]:
    """The reports of what was made. A drop of all accuracy is allowed to random weights, which have none."""
    rows = [str(DIGITS / f"{part}.npz") for part in ("calibration", "test")]
    allowed = "0.5%"
    if name != "digits":
        allowed = "100%"
        path = run.folder / f"{name}-rows.npz"
        np.savez(path, **_INPUTS[name](np.random.default_rng(0)))
        rows = [str(path)] * 2
    command = [
        str(BIN / "octet"), "quantize", f"{name}@1.0.0", "--store", str(store), "--json",
        "--calibration", rows[0], "--evaluate", rows[1], "--max-drop", allowed,
    ]  # fmt: skip
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    reports = [tried["report"] for tried in json.loads(done.stdout) if tried["report"]]
    if not reports:
        raise RuntimeError(f"no variant of {name} could be made: {done.stdout}")
    return reports


def _best(reports: list[dict[str, Any]]) -> dict[str, Any]:
    return max(reports, key=lambda report: float(report["speed"]["throughput_ratio"]))


def _gained(name: str, report: dict[str, Any], by: str, target: float) -> list[Result]:
    speed = report["speed"]
    ratios = {"a lone row": ("batch_1", speed["batch_1_ratio"]), "8 rows": ("batch_8", speed["batch_8_ratio"])}
    return [
        Result(
            part="quantized",
            case=f"{name}: {report['variant']} ({by}), {rows}, one thread, against FP32",
            measured=f"{speed['variant'][key]['median_ms']:.3g} and {speed['source'][key]['median_ms']:.3g} ms",
            value=ratio,
            unit="x",
            target=target,
        )
        for rows, (key, ratio) in ratios.items()
        if ratio is not None
    ]


def _size(name: str, report: dict[str, Any]) -> Result:
    size = f"{report['bytes']:,} and {report['source_bytes']:,} bytes"
    ratio = report["bytes"] / report["source_bytes"]
    return Result("quantized", f"{name}: {report['variant']}, size", size, ratio, "x", GOALS[name].size, True)


def _served(run: Run, name: str, store: Path, promised: float) -> Result:
    """The throughput that `auto` serves, over that of FP32, as a share of what was measured without a server."""
    flags = ("--deadline-ms", "60000")
    rounds = []
    with octet(store, *flags, "--variant", "fp32") as plain, octet(store, *flags) as chosen:
        for _ in range(run.rounds + 1):
            pair = [drive(url(server, name), run.bodies(name), 32, 2 * run.seconds) for server in (chosen, plain)]
            rounds.append([load.per_second for load in pair])
    del rounds[0]  # warm-up
    return Result(
        part="quantized",
        case=f"{name}: served, 32 connections, over FP32 served; as a share of the {promised:.2f} x without a server",
        measured="{:.1f} and {:.1f} rows/s".format(*(median(side) for side in zip(*rounds, strict=True))),
        value=median(fast / slow for fast, slow in rounds) / promised,
        unit="x",
        target=0.95,
    )
