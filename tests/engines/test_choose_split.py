"""Choosing a split under a clock that the test owns: what is tried, and when measuring ends."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from engines.engine import Engine
from engines.errors import LoadError
from engines.measure import Measured, Split, best, choose_split
from engines.onnx_file import read_onnx
from engines.onnxruntime_engine import load
from tests.graphs import identity, model, node, value


class Bench:
    """Opens a model, and knows what was opened and what is open still. Its clock moves by one tick a look."""

    def __init__(self, made: ModelProto, folder: Path, tick_seconds: float) -> None:
        self.path = folder / "model.onnx"
        onnx.save(made, self.path)
        self.signature = read_onnx(self.path).signature
        self.opened: list[Split] = []
        self.closed = 0
        self.clock: Callable[[], float] = itertools.count(0, tick_seconds).__next__

    def load(self, split: Split) -> Engine:
        engine = load(self.path, self.signature, instances=split.instances, threads=split.threads)
        self.opened.append(split)
        close = engine.close

        def closed() -> None:
            self.closed += 1
            close()

        engine.close = closed  # type: ignore[method-assign]
        return engine

    def choose(self, cores: int, budget_seconds: float) -> Measured:
        measured = choose_split(self.load, cores, budget_seconds, self.clock)
        assert self.closed == len(self.opened)
        return measured


def test_every_split_is_tried_where_the_budget_allows(tmp_path: Path) -> None:
    bench = Bench(identity("float32", ["N", 8]), tmp_path, tick_seconds=0.001)
    measured = bench.choose(cores=4, budget_seconds=1.0)
    assert [one.split for one in measured.tried] == bench.opened == [Split(4, 1), Split(2, 2), Split(1, 4)]
    assert measured.split == best(measured.tried)
    assert all(one.runs_per_second > 0 and one.lone_seconds > 0 for one in measured.tried)
    assert bench.clock() <= 1.1


def test_a_tiny_model_gets_one_thread_each_without_further_ado(tmp_path: Path) -> None:
    bench = Bench(identity("float32", ["N", 8]), tmp_path, tick_seconds=0.00005)
    measured = bench.choose(cores=4, budget_seconds=1.0)
    assert measured.split == Split(4, 1)
    assert bench.opened == [Split(4, 1)]
    assert bench.clock() <= 0.3


def test_a_slow_model_runs_once_and_gets_one_thread_each(tmp_path: Path) -> None:
    bench = Bench(identity("float32", ["N", 8]), tmp_path, tick_seconds=0.2)
    measured = bench.choose(cores=2, budget_seconds=1.0)
    assert measured.split == Split(2, 1)
    assert [(one.split, round(one.lone_seconds, 6)) for one in measured.tried] == [(Split(2, 1), 0.2)]
    assert bench.opened == [Split(2, 1)]


def test_a_model_that_is_slow_to_load_is_loaded_once(tmp_path: Path) -> None:
    bench = Bench(identity("float32", ["N", 8]), tmp_path, tick_seconds=0.001)
    quick_load = bench.load

    def slow_load(split: Split) -> Engine:
        for _ in range(600):
            bench.clock()
        return quick_load(split)

    bench.load = slow_load  # type: ignore[method-assign]
    assert bench.choose(cores=2, budget_seconds=1.0).split == Split(2, 1)
    assert bench.opened == [Split(2, 1)]
    assert bench.clock() <= 1.0


def test_a_model_that_refuses_made_up_rows_gets_one_thread_each(tmp_path: Path) -> None:
    weights = {"s": np.array([7], np.int64)}
    never = model(
        [node("Reshape", ["x", "s"], ["y"])], [value("x", "float32", [3])], [value("y", "float32", [7])], weights
    )
    bench = Bench(never, tmp_path, tick_seconds=0.001)
    assert bench.choose(cores=2, budget_seconds=1.0) == Measured(Split(2, 1), ())
    assert bench.opened == [Split(2, 1)]


def test_a_model_that_does_not_load_is_no_measurement(tmp_path: Path) -> None:
    bench = Bench(identity("float32", ["N"]), tmp_path, tick_seconds=0.001)
    bench.path.write_bytes(b"")
    with pytest.raises(LoadError):
        bench.choose(cores=2, budget_seconds=1.0)
