"""Rows that a function yields."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.errors import DataError
from engines.quantize.open_rows import open_rows
from engines.quantize.rows import RowsSpec
from engines.signature import Signature, TensorSpec

PAIRS = Signature((TensorSpec("x", "float32", (-1, 2)),), (), 0)
ROWS = np.arange(20, dtype=np.float32).reshape(10, 2)


def rows() -> Iterator[dict[str, Any]]:
    yield {"x": ROWS[:3], "labels": [0, 1, 2]}
    yield {"x": ROWS[3:], "labels": range(3, 10)}


def lists() -> list[dict[str, Any]]:
    return [{"x": ROWS}]


def no_dicts() -> list[Any]:
    return [ROWS]


def uneven() -> list[dict[str, Any]]:
    return [{"x": ROWS, "labels": [1]}]


def failing() -> Iterator[dict[str, Any]]:
    yield {"x": ROWS}
    raise RuntimeError("the disk is gone")


def other_shapes() -> Iterator[dict[str, Any]]:
    yield {"x": ROWS}
    yield {"x": ROWS, "labels": range(10)}


def fewer_later(left: list[int] = [10, 10, 7]) -> Iterator[dict[str, Any]]:  # noqa: B006  it remembers
    yield {"x": ROWS[: left.pop(0)]}


def leaving() -> list[Any]:
    sys.exit(3)


def nothing() -> list[Any]:
    return []


def test_what_is_yielded_comes_in_batches() -> None:
    opened = open_rows(RowsSpec(f"{__name__}:rows"), PAIRS)
    assert opened.count == 10
    assert [len(batch.inputs["x"]) for batch in opened.batches(4)] == [4, 4, 2]
    assert [batch.labels.tolist() for batch in opened.batches(6) if batch.labels is not None] == [
        [0, 1, 2, 3, 4, 5],
        [6, 7, 8, 9],
    ]
    assert not open_rows(RowsSpec(f"{__name__}:lists"), PAIRS).has_labels


def test_the_digest_knows_no_batches(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", x=ROWS, labels=range(10))
    saved = open_rows(RowsSpec(str(tmp_path / "rows.npz")), PAIRS)
    assert open_rows(RowsSpec(f"{__name__}:rows"), PAIRS).digest == saved.digest


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("no_dicts", "yielded ndarray; expected are dicts"),
        ("uneven", "each needs an entry a row"),
        ("failing", "RuntimeError: the disk is gone"),
        ("other_shapes", "rows differ"),
        ("nothing", "no rows"),
        ("absent", "cannot be imported"),
    ],
)
def test_what_does_not_fit_is_said(function: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        open_rows(RowsSpec(f"{__name__}:{function}"), PAIRS)


def test_a_path_that_is_nothing_is_said() -> None:
    with pytest.raises(DataError, match=r"rows/none\.npz does not exist"):
        open_rows(RowsSpec("rows/none.npz"), PAIRS)


def test_a_line_for_images_is_refused_elsewhere() -> None:
    with pytest.raises(DataError, match="is no folder"):
        open_rows(RowsSpec(f"{__name__}:rows", image="rgb"), PAIRS)


def test_rows_that_become_fewer_are_told() -> None:
    opened = open_rows(RowsSpec(f"{__name__}:fewer_later"), PAIRS)
    with pytest.raises(DataError, match="10 rows were there when they were counted, and then 7"):
        list(opened.batches(4))


def test_a_function_that_ends_the_process_does_not() -> None:
    with pytest.raises(DataError, match="leaving failed with SystemExit: 3"):
        open_rows(RowsSpec(f"{__name__}:leaving"), PAIRS)
