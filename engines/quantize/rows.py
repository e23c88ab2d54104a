"""Rows to calibrate and to evaluate with, read in batches: never all in memory at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from engines.engine import Arrays


@dataclass(frozen=True, slots=True)
class RowsSpec:
    """Where rows come from, as the command line says it; plain values, so that a child process can open them too."""

    path: str
    """An `.npz` or `.csv` file, a folder of images, or `module:function`."""
    image: str | None = None
    """How an image becomes a row: `resize 224 bilinear, rgb, /255, mean .485 .456 .406, std .229 .224 .225`."""
    most_rows: int | None = None
    """Take so many at most, chosen by the seed."""
    seed: int = 0


class Batch(NamedTuple):
    """Some rows."""

    inputs: Arrays
    labels: np.ndarray[Any, Any] | None
    """What is true of each row, one entry a row; None where the set has no labels."""


class Rows(Protocol):
    """A set of rows that fits a signature; the same rows in the same order each time it is read."""

    count: int
    digest: str
    """SHA-256 of the rows as read: names, dtypes, shapes, values, labels."""
    has_labels: bool

    def batches(self, rows: int) -> Iterator[Batch]:
        """All rows, `rows` at a time; the last batch may be shorter. Raises DataError."""
        ...
