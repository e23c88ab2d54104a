"""A variant beside what it answered when it was made."""

from pathlib import Path

import numpy as np
import pytest

from app.errors import AnswersDiffer
from app.serving.golden import Reference, batch_of, check, made_up_reference
from engines.engine import Engine
from engines.onnx_file import read_onnx
from engines.onnxruntime_engine import load
from engines.quantize.golden import Golden
from engines.signature import Signature
from tests import graphs
from tests.app.conftest import DOUBLING
from tests.fakes.fake_gpu import fake_gpu, open_here

X = np.random.default_rng(0).normal(size=(13, 2)).astype(np.float32)


def golden(noise: float = 0.0) -> Golden:
    """Rows of the model `y = x + x`, whose source answered so much otherwise."""
    return Golden({"x": X}, {"y": (X + X) * np.float32(1 + noise)})


@pytest.fixture
def engine(doubling: Path) -> Engine:
    return load(doubling, DOUBLING, instances=1, threads=1)


@pytest.mark.parametrize(("most_rows", "rows"), [(1, 1), (2, 2), (7, 4), (8, 8), (64, 8)])
def test_as_many_rows_as_a_batch_of_a_power_of_two_holds(most_rows: int, rows: int) -> None:
    batch = batch_of(Reference(golden(), 200.0, batched=True), most_rows)
    assert np.array_equal(batch.inputs["x"], X[:rows])
    assert np.array_equal(batch.outputs["y"], (X + X)[:rows])


@pytest.mark.parametrize(
    ("noise", "was_db", "fits"),
    [
        (0.0, 200.0, True),
        (0.009, 200.0, True),  # 40.9 dB: nothing needs to be closer than 40
        (0.011, 200.0, False),  # 39.2 dB
        (0.1, 25.0, True),  # 20.8 dB, where at least 19 are expected
        (0.1, 27.0, False),  # at least 21
    ],
)
@pytest.mark.parametrize("batched", [True, False])
def test_it_must_be_about_as_close_to_its_source_as_it_was(
    engine: Engine, noise: float, was_db: float, fits: bool, batched: bool
) -> None:
    reference = Reference(golden(noise), was_db, batched=batched)
    rows = batch_of(reference, 8) if batched else reference.golden
    if fits:
        check(engine, engine.runner(), reference, rows, batched=batched)
    else:
        with pytest.raises(AnswersDiffer, match=r"dB from its source, expected are"):
            check(engine, engine.runner(), reference, rows, batched=batched)


def test_one_that_answers_what_is_no_number_is_refused(engine: Engine) -> None:
    reference = Reference(Golden({"x": np.full_like(X, np.nan)}, {"y": X}), 20.0, batched=True)
    with pytest.raises(AnswersDiffer, match="cannot be run here"):
        check(engine, engine.runner(), reference, reference.golden, batched=True)


def test_whole_numbers_are_run_and_not_compared(tmp_path: Path) -> None:
    signature = Signature.from_json(
        {
            "inputs": [{"name": "x", "dtype": "int64", "shape": [-1]}],
            "outputs": [{"name": "y", "dtype": "int64", "shape": [-1]}],
            "batch_axis": 0,
        }
    )
    picked = graphs.save(graphs.gather(np.array([10, 20, 30])), tmp_path / "gather.onnx")
    engine = load(picked, signature, instances=2, threads=1)

    def checked(*indices: int) -> None:
        rows = Golden({"x": np.array(indices)}, {"y": np.array(indices)})
        check(engine, engine.runner(), Reference(rows, 200.0, batched=True), rows, batched=True)

    checked(0, 1, 2)
    with pytest.raises(AnswersDiffer, match="cannot be run here"):
        checked(0, 1, 3)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (None, None),
        ("mixed 64", "in a batch of 64, its answer to the golden row in place"),
        ("mixed 2", "in a batch of 2, "),
        ("nan", "cannot be run here"),
    ],
)
def test_prepared_batch_sizes_are_checked_one_by_one(doubling: Path, fault: str | None, words: str | None) -> None:
    with fake_gpu() as gpu:
        engine = open_here(doubling, DOUBLING)
        runner, reference = engine.runner(), Reference(golden(), 200.0, batched=True)
        if fault is None:
            check(engine, runner, reference, batch_of(reference, 8), batched=True)
        else:
            gpu.faults.add(fault)
            with pytest.raises(AnswersDiffer, match=words):
                check(engine, runner, reference, batch_of(reference, 8), batched=True)
        engine.close()


@pytest.mark.parametrize("fault", ["nan", "mixed 32"])
def test_without_golden_rows_a_gpu_is_held_against_the_processor(doubling: Path, engine: Engine, fault: str) -> None:
    reference = made_up_reference(engine)
    rows = batch_of(reference, 8)
    with fake_gpu() as gpu:
        on_gpu = open_here(doubling, DOUBLING, graphs=False)
        runner = on_gpu.runner()
        check(on_gpu, runner, reference, rows, batched=True)
        gpu.faults.add(fault)
        with pytest.raises(AnswersDiffer):
            check(on_gpu, runner, reference, rows, batched=True)
        on_gpu.close()


def test_made_up_rows_of_a_model_without_batch_axis(tmp_path: Path) -> None:
    fixed = graphs.save(graphs.operator("Abs", shape=(3, 2)), tmp_path / "fixed.onnx")
    engine = load(fixed, read_onnx(fixed).signature, instances=2, threads=1)
    reference = made_up_reference(engine)
    assert reference.golden.inputs["x"].shape == reference.golden.outputs["y"].shape == (1, 3, 2)
    assert not reference.batched
    check(engine, engine.runner(), reference, reference.golden, batched=False)
