"""The variant's speed beside its source: what is opened, what runs, what is compared. No time is asserted."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines import onnxruntime_engine
from engines.engine import Arrays, Engine, Runner
from engines.measure import Split
from engines.quantize.open_rows import open_rows
from engines.quantize.recipe import Source
from engines.quantize.report import Speed
from engines.quantize.rows import RowsSpec
from engines.quantize.speed import Contender, compare_speed
from engines.signature import Signature, TensorSpec
from tests.engines.quantize.conftest import DIGITS

SOME = RowsSpec(str(DIGITS / "test.npz"), most_rows=5)
ONE_ROW = Signature((TensorSpec("image", "float32", (1, 1, 8, 8)),), (TensorSpec("logits", "float32", (1, 10)),), None)


@dataclass
class Simulated:
    """An engine on a simulated clock: a run costs so much, and so much for each row."""

    run_seconds: float
    row_seconds: float
    signature: Signature
    clock: list[float]
    name: str = "simulated 1"
    max_rows: int | None = None
    open_now: int = 0
    splits: set[Split] = field(default_factory=set)
    shapes: set[tuple[int, ...]] = field(default_factory=set)

    def opened(self, split: Split) -> Engine:
        self.splits.add(split)
        self.open_now += 1
        return self

    def runner(self) -> Runner:
        return self

    def run(self, inputs: Arrays) -> dict[str, np.ndarray[Any, Any]]:
        self.shapes.add(inputs["image"].shape)
        rows = 1 if self.signature.batch_axis is None else len(inputs["image"])
        self.clock[0] += self.run_seconds + self.row_seconds * rows
        return {}

    def close(self) -> None:
        self.open_now -= 1


def compared(source: Simulated, variant: Simulated, most_rows: tuple[int, int]) -> Speed:
    sides = (Contender(one.opened, one.signature, rows) for one, rows in zip((source, variant), most_rows, strict=True))
    rows = open_rows(SOME, source.signature)
    return compare_speed(*sides, rows, cores=1, budget_seconds=1.0, clock=lambda: source.clock[0])


def test_ratios_are_those_of_the_costs(digits: Source) -> None:
    clock = [0.0]
    source = Simulated(0.001, 0.003, digits.signature, clock)
    variant = Simulated(0.001, 0.001, digits.signature, clock)
    speed = compared(source, variant, (32, 32))
    assert speed.batch_1_ratio == pytest.approx(4 / 2)
    assert speed.batch_8_ratio == pytest.approx(25 / 9)
    assert speed.throughput_ratio == pytest.approx(97 / 33)
    assert speed.source.batch_1.median_ms == pytest.approx(4)
    assert speed.variant.rows_per_second == pytest.approx(32 / 0.033)
    assert (source.open_now, variant.open_now) == (0, 0)


def test_what_is_served_unbatched_is_measured_against_batches(digits: Source) -> None:
    clock = [0.0]
    source = Simulated(0.003, 0.001, digits.signature, clock)
    variant = Simulated(0.001, 0.001, digits.signature, clock)
    speed = compared(source, variant, (32, 1))
    assert speed.batch_1_ratio == pytest.approx(2)
    assert speed.batch_8_ratio is speed.source.batch_8 is speed.variant.batch_8 is None
    assert speed.throughput_ratio == pytest.approx((1 / 0.002) / (32 / 0.035))
    assert variant.shapes == {(1, 1, 8, 8)}


def test_larger_batches_that_bring_nothing_are_not_tried(digits: Source) -> None:
    clock = [0.0]
    source, variant = (Simulated(0.0, 0.01, digits.signature, clock) for _ in range(2))
    compared(source, variant, (32, 32))
    assert {shape[0] for shape in source.shapes} == {1, 8}


def test_a_model_without_batch_axis_runs_single_rows() -> None:
    clock = [0.0]
    source, variant = (Simulated(0.001, 0.001, ONE_ROW, clock) for _ in range(2))
    assert compared(source, variant, (1, 1)).batch_8_ratio is None
    assert source.shapes == {(1, 1, 8, 8)}


def test_real_engines_are_measured_in_every_split(digits: Source, static_digits: Path) -> None:
    splits: list[Split] = []

    def contender(path: Path) -> Contender:
        def opened(split: Split) -> Engine:
            splits.append(split)
            return onnxruntime_engine.load(path, digits.signature, instances=split.instances, threads=split.threads)

        return Contender(opened, digits.signature, 32)

    rows = open_rows(SOME, digits.signature)
    ticks = iter(range(10**9))
    speed = compare_speed(contender(digits.path), contender(static_digits), rows, 2, 0.0, lambda: next(ticks) / 1000)
    assert {Split(1, 1), Split(2, 1), Split(1, 2)} == set(splits)
    assert min(speed.batch_1_ratio, speed.batch_8_ratio or 0, speed.throughput_ratio) > 0
    assert speed.fingerprint
    assert speed.host["cores"] > 0
