"""One report about real variants of the digits network, batch mates and golden rows included."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from engines import onnxruntime_engine
from engines.engine import Arrays
from engines.quantize.answers import Answering
from engines.quantize.batch_mates import batch_mates
from engines.quantize.gate import Limits
from engines.quantize.golden import GOLDEN_ROWS, read_golden, write_golden
from engines.quantize.measure import Subject, measure
from engines.quantize.open_rows import open_rows
from engines.quantize.recipe import Made, Source
from engines.quantize.reference import Reference
from engines.quantize.report import Report, from_json, to_json
from engines.quantize.rows import Rows, RowsSpec
from engines.signature import Signature, TensorSpec
from tests.engines.quantize.conftest import DIGITS, Open

SUBJECT = Subject("digits", "1.0.0", "int8", "onnxruntime", "int8", "0" * 64, 1000, 0.5, "1" * 64, 0)


@pytest.fixture(scope="session")
def test_rows(digits: Source) -> Rows:
    return open_rows(RowsSpec(str(DIGITS / "test.npz")), digits.signature)


def report_on(variant: Path, digits: Source, rows: Rows, limits: Limits) -> tuple[Report, list[float]]:
    shares: list[float] = []
    with closing(Reference(digits, onnxruntime_engine.load, rows, cores=2)) as reference:
        report = measure(
            SUBJECT,
            reference,
            Made(variant, details={"method": "MinMax"}),
            onnxruntime_engine.load,
            limits,
            metric=None,
            progress=lambda _, share: shares.append(share),
            budget_seconds=0.0,
        )
    return report, shares


def test_a_static_variant_has_a_whole_report(digits: Source, static_digits: Path, test_rows: Rows) -> None:
    report, shares = report_on(static_digits, digits, test_rows, Limits(0.05, min_speedup=0.0))
    assert report.verdict.passed
    assert report.bytes == static_digits.stat().st_size
    assert (report.quality.rows, report.quality.metric) == (540, "accuracy")
    assert report.batch_mates.invariant
    assert report.batch_mates.batched
    assert report.speed.batch_8_ratio
    assert len(report.layers) == 6
    assert report.lineage.evaluation == test_rows.digest
    assert report.lineage.details == {"method": "MinMax"}
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert from_json(to_json(report)) == report


def test_a_dynamic_variant_is_judged_unbatched(digits: Source, dynamic_digits: Path, test_rows: Rows) -> None:
    report, _ = report_on(dynamic_digits, digits, test_rows, Limits(0.05, min_speedup=1000.0))
    assert not report.batch_mates.invariant
    assert not report.batch_mates.batched
    assert 1e-3 < report.batch_mates.difference < 0.2
    assert report.speed.batch_8_ratio is None
    assert not report.verdict.passed


def test_golden_rows_hold_the_sources_answers(
    digits: Source, test_rows: Rows, open_digits: Open, tmp_path: Path
) -> None:
    runner = open_digits(digits.path).runner()
    write_golden(tmp_path / "golden.npz", Answering(runner, digits.signature, batched=True), test_rows)
    golden = read_golden(tmp_path / "golden.npz", digits.signature)
    assert golden.inputs["image"].shape == (GOLDEN_ROWS, 1, 8, 8)
    assert golden.inputs["image"].dtype == np.float32
    assert np.array_equal(golden.outputs["logits"], runner.run(golden.inputs)["logits"])


def test_golden_rows_may_be_text_and_bfloat16(tmp_path: Path) -> None:
    signature = Signature((TensorSpec("t", "string", (-1,)),), (TensorSpec("b", "bfloat16", (-1,)),), 0)
    np.savez(tmp_path / "rows.npz", t=np.array(["one", "three"]))
    rows = open_rows(RowsSpec(str(tmp_path / "rows.npz")), signature)

    class Lengths:
        def run(self, inputs: Arrays) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
            return {"b": np.array([len(text) for text in inputs["t"]], ml_dtypes.bfloat16)}

    write_golden(tmp_path / "golden.npz", Answering(Lengths(), signature, batched=False), rows)
    golden = read_golden(tmp_path / "golden.npz", signature)
    assert golden.inputs["t"].tolist() == ["one", "three"]
    assert golden.outputs["b"].dtype == ml_dtypes.bfloat16
    assert golden.outputs["b"].tolist() == [3, 5]


def test_a_model_without_batch_axis_depends_on_nobody(digits: Source, test_rows: Rows, open_digits: Open) -> None:
    engine = open_digits(digits.path)
    engine.signature = replace(digits.signature, batch_axis=None)
    mates = batch_mates(engine, engine.runner(), test_rows)
    assert (mates.invariant, mates.batched, mates.difference) == (True, False, 0.0)


@pytest.mark.parametrize("axis", [(1,), ()])
def test_rows_of_a_model_without_batch_axis_are_run_one_by_one(axis: tuple[int, ...]) -> None:
    """Its answers have a row each in front, whether the model fixes axis 0 to 1 or has none."""
    signature = Signature((TensorSpec("x", "float32", (*axis, 3)),), (TensorSpec("y", "float32", (*axis, 3)),), None)
    shapes: set[tuple[int, ...]] = set()

    class Doubling:
        def run(self, inputs: Arrays) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
            shapes.add(inputs["x"].shape)
            return {"y": inputs["x"] * 2}

    rows = np.arange(12, dtype=np.float32).reshape(4, *axis, 3)
    answers = Answering(Doubling(), signature, batched=False).answer({"x": rows})
    assert shapes == {(*axis, 3)}
    assert answers["y"].tolist() == (rows * 2).reshape(4, 3).tolist()
