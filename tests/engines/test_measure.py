"""Made-up inputs, the ways to split the cores, and which of those that were measured is chosen."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines import onnxruntime_engine
from engines.engine import Arrays, Engine, Runner
from engines.errors import InputRefused, RunError
from engines.measure import (
    Measured,
    Measurement,
    Split,
    best,
    choose_split,
    splits,
)
from engines.onnx_file import read_onnx
from engines.samples import DYNAMIC_SIZE, sample_inputs
from engines.signature import NUMPY_DTYPES, Signature, TensorSpec

shapes = st.none() | st.lists(st.integers(-1, 5), max_size=3).map(tuple)
specs = st.builds(TensorSpec, st.text(min_size=1, max_size=4), st.sampled_from(sorted(NUMPY_DTYPES)), shapes)
unbatched = st.lists(specs, max_size=3, unique_by=lambda spec: spec.name).map(
    lambda inputs: Signature(tuple(inputs), (), None)
)


@given(unbatched, st.integers(0, 2**32))
def test_made_up_inputs_fit_the_signature(signature: Signature, seed: int) -> None:
    inputs = sample_inputs(signature, 1, seed)
    assert list(inputs) == [spec.name for spec in signature.inputs]
    for spec in signature.inputs:
        array = inputs[spec.name]
        assert isinstance(array, np.ndarray)
        assert array.dtype == NUMPY_DTYPES[spec.dtype]
        assert array.flags.c_contiguous
        expected = (-1,) if spec.shape is None else spec.shape
        assert array.shape == tuple(DYNAMIC_SIZE if size == -1 else size for size in expected)


@given(st.sampled_from(sorted(NUMPY_DTYPES)), st.integers(0, 9))
def test_made_up_inputs_have_the_rows_that_were_asked_for(dtype: str, rows: int) -> None:
    signature = Signature((TensorSpec("x", dtype, (-1, 3, -1)),), (), 0)
    assert sample_inputs(signature, rows, 0)["x"].shape == (rows, 3, DYNAMIC_SIZE)


@given(unbatched, st.integers(0, 2**32))
def test_made_up_inputs_are_the_same_for_a_seed(signature: Signature, seed: int) -> None:
    first, second = sample_inputs(signature, 1, seed), sample_inputs(signature, 1, seed)
    assert all(first[name].tolist() == second[name].tolist() for name in first)


def test_made_up_inputs_differ_between_seeds() -> None:
    signature = Signature((TensorSpec("x", "float32", (64,)),), (), None)
    assert (sample_inputs(signature, 1, 0)["x"] != sample_inputs(signature, 1, 1)["x"]).any()


@pytest.mark.parametrize("dtype", [name for name in NUMPY_DTYPES if name != "string"])
def test_made_up_numbers_are_small(dtype: str) -> None:
    """So that an index stays inside its table and a float far from infinity."""
    values = sample_inputs(Signature((TensorSpec("x", dtype, (1000,)),), (), None), 1, 0)["x"].astype(np.float64)
    assert values.min() >= -1
    assert values.max() <= 1
    assert len(set(values.tolist())) > 1


def test_made_up_text_is_empty() -> None:
    assert sample_inputs(Signature((TensorSpec("x", "string", (2,)),), (), None), 1, 0)["x"].tolist() == ["", ""]


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        (1, [Split(1, 1)]),
        (2, [Split(2, 1), Split(1, 2)]),
        (4, [Split(4, 1), Split(2, 2), Split(1, 4)]),
        (6, [Split(6, 1), Split(3, 2), Split(2, 3), Split(1, 6)]),
        (7, [Split(7, 1), Split(1, 7)]),
    ],
)
def test_splits_use_every_core_once(cores: int, expected: list[Split]) -> None:
    assert splits(cores) == expected


NARROW, WIDE = Split(2, 1), Split(1, 2)


@pytest.mark.parametrize(
    ("narrow", "wide", "expected"),
    [
        pytest.param((100, 0.020), (50, 0.010), NARROW, id="twice as fast at full load"),
        pytest.param((50, 0.020), (100, 0.010), WIDE, id="faster in both"),
        pytest.param((100, 0.020), (98, 0.010), WIDE, id="as good as equal: the lone request decides"),
        pytest.param((98, 0.010), (100, 0.020), NARROW, id="as good as equal, the other way"),
        pytest.param((100, 0.020), (96, 0.010), NARROW, id="just worth it"),
        pytest.param((100, 0.010), (100, 0.010), NARROW, id="a tie goes to what was tried first"),
    ],
)
def test_the_split_that_is_chosen(narrow: tuple[float, float], wide: tuple[float, float], expected: Split) -> None:
    assert best([Measurement(NARROW, *narrow), Measurement(WIDE, *wide)]) == expected


measurements = st.builds(
    Measurement, st.builds(Split, st.integers(1, 64), st.integers(1, 64)), st.floats(0.1, 1e6), st.floats(1e-6, 10)
)


@given(st.lists(measurements, min_size=1))
def test_the_choice_gives_up_little_at_full_load(tried: list[Measurement]) -> None:
    chosen = max(one.runs_per_second for one in tried if one.split == best(tried))
    assert chosen * 1.031 >= max(one.runs_per_second for one in tried)


@given(st.lists(measurements, min_size=1))
def test_a_measured_choice_is_remembered(tried: list[Measurement]) -> None:
    measured = Measured(best(tried), tuple(tried))
    assert Measured.from_json(measured.to_json()) == measured


@pytest.mark.parametrize("text", [b"", b"{", b"null", b"[]", b"{}", b'{"split": {}, "tried": []}', b'"\xff"'])
def test_what_is_no_memory_of_a_choice_is_told(text: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Measured.from_json(text)


def test_a_real_model_gets_a_split_of_the_cores(mlp_onnx: Path) -> None:
    signature = read_onnx(mlp_onnx).signature

    def load(split: Split) -> Engine:
        return onnxruntime_engine.load(mlp_onnx, signature, instances=split.instances, threads=split.threads)

    measured = choose_split(load, cores=2, budget_seconds=0.1)
    assert measured.split in splits(2)
    assert measured.tried[0].split == Split(2, 1)
    assert all(one.runs_per_second > 0 and one.lone_seconds > 0 for one in measured.tried)


@dataclass
class _Failing:
    """An engine whose runs fail after some, and which knows whether it was closed."""

    signature: Signature
    good_runs: int
    name: str = "failing 1"
    max_rows: int | None = None
    closed: bool = False

    def runner(self) -> Runner:
        return self

    def run(self, inputs: Arrays) -> dict[str, np.ndarray[Any, Any]]:
        self.good_runs -= 1
        if self.good_runs < 0:
            raise RunError("out of order")
        return {}

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("good_runs", [0, 1, 2, 4, 5])
def test_a_failing_run_ends_the_measuring_and_frees_the_engine(good_runs: int) -> None:
    engine = _Failing(Signature((), (), None), good_runs)
    assert choose_split(lambda _: engine, cores=2, budget_seconds=1.0) == Measured(Split(2, 1), ())
    assert engine.closed


def test_rows_that_would_fill_the_memory_are_not_made_up() -> None:
    claimed = Signature((TensorSpec("x", "float32", (-1, 1 << 29)),), (TensorSpec("y", "float32", (-1, 1)),), 0)
    with pytest.raises(InputRefused, match="2147483648 bytes"):
        sample_inputs(claimed, 1, 0)
