"""What ONNX Runtime reaches in process, with no server around it: `python -m benchmarks.bare FILE SECONDS [SPLIT]`.

A split is `INSTANCESxTHREADSxROWS`: so many sessions, each with so many threads, runs of so many rows. Without one,
every split of the cores is tried for SECONDS. Prints one line of JSON: {split: rows a second}.
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

ROWS = (1, 2, 4, 8)


class Split(NamedTuple):
    """How the cores are shared out, and how many rows go into a run."""

    instances: int
    threads: int
    rows: int

    def __str__(self) -> str:
        return "x".join(map(str, self))


def splits(cores: int) -> list[Split]:
    """All that use no more threads than there are cores."""
    return [
        Split(instances, threads, rows)
        for instances in range(1, cores + 1)
        for threads in range(1, cores // instances + 1)
        for rows in ROWS
    ]


def best_split(model: Path, seconds: float) -> Split:
    """The split with the most rows a second, each tried for `seconds`, in a process of its own."""
    measured = _measured(model, seconds)
    return Split(*map(int, max(measured, key=lambda split: measured[split]).split("x")))


def rows_per_second(model: Path, seconds: float, split: Split) -> float:
    """One round with one split, in a process of its own."""
    return _measured(model, seconds, str(split))[str(split)]


def _measured(model: Path, seconds: float, *split: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.bare", str(model), str(seconds), *split]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def measure(model: Path, seconds: float, split: Split) -> float:
    """Rows a second of one split, here and now."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = split.threads
    sessions = [onnxruntime.InferenceSession(str(model), options) for _ in range(split.instances)]
    feed = {tensor.name: _random(tensor, split.rows) for tensor in sessions[0].get_inputs()}
    counts = [0] * split.instances
    start = threading.Barrier(split.instances + 1)
    end = threading.Event()

    def work(index: int) -> None:
        sessions[index].run(None, feed)
        start.wait()
        while not end.is_set():
            sessions[index].run(None, feed)
            counts[index] += split.rows

    workers = [threading.Thread(target=work, args=(index,)) for index in range(split.instances)]
    for worker in workers:
        worker.start()
    start.wait()
    began = time.perf_counter()
    end.wait(seconds)
    end.set()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - began)


def _random(tensor: Any, rows: int) -> np.ndarray[Any, Any]:
    shape = (rows, *tensor.shape[1:])
    random = np.random.default_rng(0)
    return random.integers(0, 1000, shape) if "int64" in tensor.type else random.random(shape, np.float32)


if __name__ == "__main__":
    file, duration, *wanted = sys.argv[1:]
    chosen = [Split(*map(int, text.split("x"))) for text in wanted] or splits(os.cpu_count() or 1)
    print(json.dumps({str(split): measure(Path(file), float(duration), split) for split in chosen}))
