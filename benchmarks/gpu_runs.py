"""Runs one case on one engine: is it right, how long does a batch take, how much do several workers do at once."""

import threading
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

from benchmarks.gpu_cases import Case
from benchmarks.gpu_engines import Subject
from engines.batch_mates import TOLERANCE, difference
from engines.engine import Arrays, Engine, Runner
from engines.tensorrt.device import Cuda
from engines.tensorrt.engine import TensorRtRunner

_RUNS_BEFORE = 5
_RUNS = 30


class Effort(NamedTuple):
    """How much is measured."""

    sizes: tuple[int, ...]
    """Rows of a batch, in order."""
    threads: tuple[int, ...]
    seconds: float
    """Of each throughput."""


class Times(NamedTuple):
    """Medians for one batch size, in milliseconds."""

    rows: int
    eager: float | None
    """Copies and kernels on the device, launched one by one; None where the engine has no events to ask."""
    graph: float | None
    """The same in one launch."""
    run: float
    """All of `Runner.run`, as a worker sees it."""

    @property
    def rows_per_second(self) -> float:
        """By one worker."""
        return self.rows / self.run * 1e3


@dataclass(slots=True)
class Measured:
    """What came of it."""

    engine: str
    case: str
    facts: dict[str, Any]
    errors: dict[str, float] = field(default_factory=dict)
    """`3 rows, graphs` -> how far from FP32 on the processor."""
    times: list[Times] = field(default_factory=list)
    rows_per_second: dict[int, float] = field(default_factory=dict)
    """Workers -> what all of them reach with batches of `throughput_rows`."""
    throughput_rows: int = 0
    failures: list[str] = field(default_factory=list)

    def time_of(self, rows: int) -> Times | None:
        """At this size, if it was measured."""
        return next((one for one in self.times if one.rows == rows), None)


def measure(subject: Subject, case: Case, effort: Effort) -> Measured:
    """All of it. Raises EngineError where the engine cannot run the case."""
    measured = Measured(subject.name, str(case), subject.facts(case))
    eager: dict[int, float] = {}
    for graphs in (False, True) if subject.has_graphs else (False,):
        engine = subject.open(case, 1, graphs)
        runner = engine.runner()
        _check(measured, case, runner, effort.sizes[-1], "graphs" if graphs else "no graphs")
        if subject.has_graphs and not graphs:
            eager = {rows: _on_the_device(runner, case, rows) for rows in effort.sizes}
        else:
            measured.times = [_times(runner, case, rows, eager.get(rows)) for rows in effort.sizes]
        engine.close()
    measured.throughput_rows = min(32, effort.sizes[-1])
    for workers in effort.threads:
        _throughput(measured, subject.open(case, workers, True), case, workers, effort.seconds)
    return measured


def _check(measured: Measured, case: Case, runner: Runner, most_rows: int, how: str) -> None:
    """A lone row, a batch that is padded, and a full one."""
    if how == "graphs" and isinstance(runner, TensorRtRunner) and (eager := runner.eager_rows):
        measured.failures.append(f"{case}: no graph could be captured for batches of {eager}")
    for rows in sorted({1, min(3, most_rows), min(32, most_rows)}):
        error = case.error(runner.run(_first(case, rows)))
        measured.errors[f"{rows} rows, {how}"] = error
        if error > case.allowed_error:
            measured.failures.append(f"{case}, {rows} rows, {how}: error {error:.2g}, allowed {case.allowed_error:.2g}")


def _times(runner: Runner, case: Case, rows: int, eager: float | None) -> Times:
    graph = None if eager is None else _on_the_device(runner, case, rows)
    inputs, milliseconds = _first(case, rows), []
    for _ in range(_RUNS_BEFORE + _RUNS):
        started = time.perf_counter()
        runner.run(inputs)
        milliseconds.append((time.perf_counter() - started) * 1e3)
    return Times(rows, eager, graph, median(milliseconds[_RUNS_BEFORE:]))


def _on_the_device(runner: Runner, case: Case, rows: int) -> float:
    """By the device's own clock: copy in, run, copy out."""
    assert isinstance(runner, TensorRtRunner)
    cuda, context, inputs = Cuda(), runner.context, _first(case, rows)
    form = runner.form_for(inputs, rows)
    start, end = cuda.event(timed=True), cuda.event(timed=True)
    context.fill(form, inputs)
    milliseconds = []
    for _ in range(_RUNS_BEFORE + _RUNS):
        cuda.record(start, context.stream)
        context.launch(form)
        cuda.record(end, context.stream)
        context.wait()
        milliseconds.append(cuda.milliseconds(start, end))
    cuda.destroy_event(start)
    cuda.destroy_event(end)
    return median(milliseconds[_RUNS_BEFORE:])


def _throughput(measured: Measured, engine: Engine, case: Case, workers: int, seconds: float) -> None:
    """Several workers at once, each of which must answer what it answered at first, whatever the others do."""
    inputs = _first(case, measured.throughput_rows)
    runners = [engine.runner() for _ in range(workers)]
    start, end = threading.Barrier(workers + 1), threading.Event()
    runs, unstable = [0] * workers, [0] * workers

    def work(index: int) -> None:
        first = runners[index].run(inputs)
        start.wait()
        while not end.is_set():
            unstable[index] += not _agrees(first, runners[index].run(inputs))
            runs[index] += 1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(workers)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    end.wait(seconds)
    end.set()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - began
    engine.close()
    measured.rows_per_second[workers] = sum(runs) * measured.throughput_rows / taken
    if any(unstable):
        measured.failures.append(f"{case}, {workers} workers: {sum(unstable)} of {sum(runs)} answers changed")


def _agrees(one: Arrays, other: Arrays) -> bool:
    return all(difference(array, other[name]) <= TOLERANCE for name, array in one.items())


def _first(case: Case, rows: int) -> Arrays:
    return {name: array[:rows] for name, array in case.rows.items()}
