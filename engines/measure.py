"""What a loaded variant costs on this machine, and how its workers share the cores best."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter

from engines.engine import Arrays, Engine, Runner
from engines.errors import InputRefused, RunError
from engines.samples import sample_inputs

# A split must be this much faster at full load to win over one that answers a lone request sooner.
_WORTH = 1.03
# A run this short is decided by the interpreter's lock and not by the split, so one thread each it is.
_TINY_SECONDS = 0.0002
# Runs that a split must have time for to be measured rather than guessed.
_LEAST_RUNS = 4
# Runs that show a model to be tiny; threads that hammer it would only disturb what is being served meanwhile.
_MANY_RUNS = 50
# Longest that one split is measured.
_MOST_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Split:
    """How a model uses the cores: `instances` workers of `threads` threads each."""

    instances: int
    threads: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """One split: runs a second with every instance busy, and seconds of a run that has the machine to itself."""

    split: Split
    runs_per_second: float
    lone_seconds: float


@dataclass(frozen=True, slots=True)
class Measured:
    """Every split that was tried, and the one to use."""

    split: Split
    tried: tuple[Measurement, ...]

    def to_json(self) -> bytes:
        """For the memory of this machine."""
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def from_json(text: bytes) -> "Measured":
        """Read back what `to_json` wrote. Raises ValueError, KeyError or TypeError on anything else."""
        record = json.loads(text)
        tried = tuple(
            Measurement(Split(**one["split"]), one["runs_per_second"], one["lone_seconds"]) for one in record["tried"]
        )
        return Measured(Split(**record["split"]), tried)


def splits(cores: int) -> list[Split]:
    """The ways to split the cores evenly, one thread each first: 4 cores are 4 x 1, 2 x 2, 1 x 4."""
    return [Split(cores // threads, threads) for threads in range(1, cores + 1) if cores % threads == 0]


def best(tried: Sequence[Measurement]) -> Split:
    """The split with the most runs a second; of those within 3 % of it, the one that answers a lone request soonest."""
    most = max(one.runs_per_second for one in tried)
    near = [one for one in tried if one.runs_per_second * _WORTH >= most]
    return min(near, key=lambda one: one.lone_seconds).split


def choose_split(
    load: Callable[[Split], Engine], cores: int, budget_seconds: float, clock: Callable[[], float] = perf_counter
) -> Measured:
    """Try the splits of the cores on made-up rows, within the budget as a whole; raises what `load` raises.

    One thread each is tried first, and is the answer for a tiny model, for one so slow that the budget ends there, and
    for one that refuses made-up rows.
    """
    end = clock() + budget_seconds
    tried: list[Measurement] = []
    candidates = splits(cores)
    session_seconds = 0.0
    for left, split in zip(range(len(candidates), 0, -1), candidates, strict=True):
        started = clock()
        if tried and not _is_worth(split, tried[0].lone_seconds, session_seconds, (end - started) / left):
            break
        engine = load(split)
        try:
            session_seconds = session_seconds or clock() - started
            tried.append(_measure(engine, split, min(_MOST_SECONDS, (end - clock()) / left), clock))
        except (InputRefused, RunError):
            break
        finally:
            engine.close()
    return Measured(best(tried) if tried else candidates[0], tuple(tried))


def _is_worth(split: Split, lone_seconds: float, session_seconds: float, budget_seconds: float) -> bool:
    """Whether a further split is worth trying: the model is not tiny, and loading and a few runs fit the budget."""
    return (
        lone_seconds >= _TINY_SECONDS
        and split.instances * session_seconds + _LEAST_RUNS * lone_seconds <= budget_seconds
    )


def _measure(engine: Engine, split: Split, budget_seconds: float, clock: Callable[[], float]) -> Measurement:
    inputs = sample_inputs(engine.signature, 1, seed=0)
    runners = [engine.runner() for _ in range(split.instances)]
    runs = [_seconds(runners[0], inputs, clock)]  # the first run allocates, and is all that a slow model gets
    if runs[0] * _LEAST_RUNS > budget_seconds:
        return Measurement(split, split.instances / runs[0], runs[0])
    end = clock() + budget_seconds / 3
    runs = [_seconds(runners[0], inputs, clock)]
    while clock() < end:
        runs.append(_seconds(runners[0], inputs, clock))
        if len(runs) == _MANY_RUNS and median(runs) < _TINY_SECONDS:
            return Measurement(split, split.instances / median(runs), median(runs))
    return Measurement(split, runs_per_second(runners, inputs, budget_seconds * 2 / 3, clock), median(runs))


def _seconds(runner: Runner, inputs: Arrays, clock: Callable[[], float]) -> float:
    started = clock()
    runner.run(inputs)
    return clock() - started


def runs_per_second(
    runners: Sequence[Runner], inputs: Arrays, budget_seconds: float, clock: Callable[[], float]
) -> float:
    """Of all runners together, each in a thread of its own. Raises what a run raises."""
    began = clock()

    def work(runner: Runner) -> int:
        count = 0
        while not count or clock() < began + budget_seconds:
            runner.run(inputs)
            count += 1
        return count

    with ThreadPoolExecutor(len(runners)) as pool:
        total = sum(pool.map(work, runners))
    return total / (clock() - began)
