"""The quality of real variants of the digits network beside it."""

import sys
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.engine import Arrays
from engines.errors import DataError, QuantizeError
from engines.quantize.answers import Answering
from engines.quantize.float_errors import cosines
from engines.quantize.metrics import read_metric
from engines.quantize.open_rows import open_rows
from engines.quantize.quality import compare
from engines.quantize.recipe import Source
from engines.quantize.report import MOST_DB, Quality
from engines.quantize.rows import RowsSpec
from engines.signature import Signature, TensorSpec
from tests.engines.quantize.conftest import DIGITS, Open

TEST_ROWS = RowsSpec(str(DIGITS / "test.npz"))
Array = np.ndarray[Any, Any]


def quality_of(
    variant: Path, digits: Source, opened: Open, *, batched: bool = True, metric: str = "accuracy"
) -> Quality:
    sides = [Answering(opened(path).runner(), digits.signature, batched) for path in (digits.path, variant)]
    return compare(sides[0], sides[1], open_rows(TEST_ROWS, digits.signature), metric, seed=0)


@pytest.mark.parametrize("batched", [True, False])
def test_a_variant_that_is_its_source_loses_nothing(digits: Source, open_digits: Open, batched: bool) -> None:
    quality = quality_of(digits.path, digits, open_digits, batched=batched)
    assert quality.metric == "accuracy"
    assert quality.rows == 540
    assert quality.source == quality.variant == pytest.approx(535 / 540)
    assert (quality.drop.estimate, quality.broken, quality.fixed) == (0, 0, 0)
    assert quality.drop.high == pytest.approx(0.0036, abs=1e-4)
    assert (quality.agreement, quality.cosine, quality.max_error) == (1, pytest.approx(1), 0)
    assert quality.sqnr_db == MOST_DB


def test_an_int8_variant_is_told_by_numbers_that_numpy_finds_too(
    digits: Source, static_digits: Path, open_digits: Open
) -> None:
    quality = quality_of(static_digits, digits, open_digits)
    with np.load(DIGITS / "test.npz") as rows:
        images, labels = rows["image"], rows["labels"]
    one, other = (open_digits(path).runner().run({"image": images})["logits"] for path in (digits.path, static_digits))
    right = one.argmax(1) == labels, other.argmax(1) == labels
    assert quality.source == pytest.approx(right[0].mean())
    assert quality.variant == pytest.approx(right[1].mean())
    assert quality.broken == (right[0] & ~right[1]).sum()
    assert quality.agreement == pytest.approx((one.argmax(1) == other.argmax(1)).mean())
    assert quality.max_error == pytest.approx(np.abs(one - other).max(), rel=1e-4)
    assert quality.sqnr_db == pytest.approx(10 * log10((one**2).sum() / ((one - other) ** 2).sum()), abs=0.01)
    assert 30 < quality.sqnr_db < 45


def test_without_labels_the_source_is_the_truth(digits: Source, static_digits: Path, open_digits: Open) -> None:
    quality = quality_of(static_digits, digits, open_digits, metric="agreement")
    assert (quality.metric, quality.source) == ("agreement", 1)
    assert quality.variant == quality.agreement
    assert quality.drop.estimate == pytest.approx(1 - quality.variant)


def brier(outputs: Arrays, labels: Array) -> Array:
    """A user's metric: 1 - the squared error of the probabilities, a value a row."""
    odds = np.exp(outputs["logits"])
    return 1 - ((odds / odds.sum(1, keepdims=True) - np.eye(10)[labels]) ** 2).sum(1)


def one_value(outputs: Arrays, labels: Array) -> Array:
    return np.zeros(1)


def no_number(outputs: Arrays, labels: Array) -> Array:
    return np.where(labels == labels[0], np.nan, 1.0)


def complex_values(outputs: Arrays, labels: Array) -> Array:
    return labels * 0 + 1j


def leaving(outputs: Arrays, labels: Array) -> Array:
    sys.exit(3)


def failing(outputs: Arrays, labels: Array) -> Array:
    raise RuntimeError("no idea")


def test_a_users_metric_is_bootstrapped(digits: Source, static_digits: Path, open_digits: Open) -> None:
    quality = quality_of(static_digits, digits, open_digits, metric=f"{__name__}:brier")
    assert quality.metric.endswith(":brier")
    assert 0.98 < quality.source < 1
    assert (quality.broken, quality.fixed) == (None, None)
    assert quality.drop.low < quality.drop.estimate < quality.drop.high < quality.drop.low + 0.02


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("f1", "'f1' is not known"),
        ("nowhere:f", "ModuleNotFoundError"),
        (f"{__name__}:nothing", "AttributeError"),
        (f"{__name__}:DIGITS", "is no function"),
        (f"{__name__}:one_value", r"gave shape \[1\]"),
        (f"{__name__}:failing", "no idea"),
        (f"{__name__}:no_number", "gave nan for a row"),
        (f"{__name__}:complex_values", r"gave 1j for a row; expected are finite, real values"),
        (f"{__name__}:leaving", "failed with SystemExit: 3"),
    ],
)
def test_a_metric_that_cannot_be_is_said(digits: Source, open_digits: Open, metric: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        quality_of(digits.path, digits, open_digits, metric=metric)


SCORES = TensorSpec("scores", "float32", (-1, 3))


@pytest.mark.parametrize(
    ("name", "has_labels", "words"),
    [("accuracy", False, "needs labels"), ("accuracy", True, "needs an output of scores")],
)
def test_a_metric_that_lacks_what_it_needs_is_said(name: str, has_labels: bool, words: str) -> None:
    outputs = (SCORES,) if not has_labels else (TensorSpec("class", "int64", (-1,)),)
    with pytest.raises(DataError, match=words):
        read_metric(name, Signature((), outputs, 0), has_labels)


@pytest.mark.parametrize(
    "labels", [np.array([0.5, 1]), np.array([[1, 0], [0, 1]]), np.array([1, 3]), np.array([-1, 0])]
)
def test_labels_that_are_no_classes_are_said(labels: Array) -> None:
    accuracy = read_metric("accuracy", Signature((), (SCORES,), 0), has_labels=True)
    outputs = {"scores": np.zeros((2, 3), np.float32)}
    with pytest.raises(DataError, match="labels"):
        accuracy(outputs, outputs, labels)


class Constant:
    """A runner that answers every row alike."""

    def __init__(self, *row: float) -> None:
        self.row = np.array([row], np.float32)

    def run(self, inputs: Arrays) -> dict[str, Array]:
        return {"logits": self.row.repeat(len(inputs["image"]), axis=0)}


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_variant_that_leaves_the_range_of_numbers_is_said(digits: Source, value: float) -> None:
    sides = [Answering(Constant(*[1.0] * 9, last), digits.signature, True) for last in (1.0, value)]
    with pytest.raises(QuantizeError, match="numbers leave its range"):
        compare(sides[0], sides[1], open_rows(TEST_ROWS, digits.signature), "agreement", seed=0)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_source_that_answers_no_number_is_not_the_variants_fault(digits: Source, value: float) -> None:
    sides = [Answering(Constant(*[1.0] * 9, last), digits.signature, True) for last in (value, 1.0)]
    with pytest.raises(QuantizeError, match=r"the source answers (inf|nan) to some of the rows.*leave such rows out"):
        compare(sides[0], sides[1], open_rows(TEST_ROWS, digits.signature), "agreement", seed=0)


def test_what_is_masked_in_both_is_no_error(digits: Source) -> None:
    sides = [Answering(Constant(*[1.0] * 8, -np.inf, np.nan), digits.signature, True)] * 2
    quality = compare(sides[0], sides[1], open_rows(TEST_ROWS, digits.signature), "cosine", seed=0)
    assert (quality.variant, quality.max_error, quality.sqnr_db) == (pytest.approx(1), 0, MOST_DB)


def test_broken_and_fixed_rows_are_told_apart(digits: Source) -> None:
    """One side always says 0 and the other always 1."""
    sides = [Answering(Constant(*np.eye(10)[digit]), digits.signature, True) for digit in (0, 1)]
    quality = compare(sides[0], sides[1], open_rows(TEST_ROWS, digits.signature), "accuracy", seed=0)
    with np.load(DIGITS / "test.npz") as rows:
        counts = np.bincount(rows["labels"])
    assert (quality.broken, quality.fixed) == (counts[0], counts[1])
    assert quality.agreement == 0


def test_the_cosine_of_rows_of_zeros() -> None:
    zeros, ones = np.zeros((1, 3)), np.ones((1, 3))
    assert cosines(zeros, zeros) == 1
    assert cosines(zeros, ones) == 0
    assert cosines(ones, -ones) == pytest.approx(-1)
