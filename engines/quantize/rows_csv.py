"""Rows from a `.csv` file: a header, then one row a line.

A scalar input `x` is the column `x`. An input of many values is the columns `x[0]`, `x[1]`, ..., as they follow each
other in the array's memory: the last axis runs fastest. The column `labels` holds what is true.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from engines.engine import Array
from engines.errors import DataError
from engines.quantize.columns import LABELS, Columns, pick
from engines.signature import NUMPY_DTYPES, Signature, TensorSpec

_BLOCK_ROWS = 256
_INDEXED = re.compile(r"(.+)\[(\d+)\]")
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


class CsvTable:
    """The rows of one file; see `engines.quantize.columns.Table`."""

    def __init__(self, path: Path, signature: Signature) -> None:
        """Read the file once, to count its lines and see what its labels are. Raises DataError."""
        self._path = path
        self._signature = signature
        lines = self._lines()
        self._positions = _positions(next(lines, []), path.name)
        labels = self._positions.get(LABELS, [])
        self.count = 0
        self._label_dtype: type[Any] = np.int64
        for line in lines:
            self.count += 1
            for position in labels:
                self._label_dtype = _wide_enough(line[position], self._label_dtype)

    def read(self, chosen: Sequence[int]) -> Iterator[Columns]:
        return pick(self._blocks(), chosen)

    def _blocks(self) -> Iterator[Columns]:
        lines = islice(self._lines(), 1, None)
        start = 2  # an editor counts from 1, and the header is a line
        while block := list(islice(lines, _BLOCK_ROWS)):
            try:
                yield {
                    name: self._array(name, [[line[position] for position in positions] for line in block])
                    for name, positions in self._positions.items()
                }
            except (ValueError, OverflowError) as error:
                where = f"{self._path.name}, rows {start} to {start + len(block) - 1}"
                raise DataError(f"{where}: {error}; each cell must hold one value of its input's dtype") from None
            start += len(block)

    def _array(self, name: str, texts: list[list[str]]) -> Array:
        spec = next((spec for spec in self._signature.inputs if spec.name == name), None)
        if spec is None:
            dtype = self._label_dtype if name == LABELS else object
            return np.array([line[0] for line in texts], object).astype(dtype)
        return _shaped(_parsed(texts, spec.dtype), spec, self._signature.batch_axis is not None)

    def _lines(self) -> Iterator[list[str]]:
        """Lines of as many cells as the first one; empty ones are none."""
        width = 0
        try:
            with self._path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file, strict=True)
                for line in filter(None, reader):
                    width = width or len(line)
                    if len(line) != width:
                        found = f"{self._path.name}, line {reader.line_num}, has {len(line)} cells"
                        raise DataError(f"{found} and the header {width}; each line needs one for each column")
                    yield line
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{self._path.name} cannot be read as CSV: {error}; write UTF-8 with commas") from None


def _positions(header: list[str], file: str) -> dict[str, list[int]]:
    """Name -> positions of its columns, in the order of their indices."""
    if not header:
        raise DataError(f"{file} is empty; expected are a header with the names of the inputs, and a line for each row")
    if len(header) == 1 and (other := next((mark for mark in ";\t" if mark in header[0]), None)):
        raise DataError(f"{file} has {other!r} between its cells; write it with commas")
    found: dict[str, dict[int, int]] = {}
    for position, title in enumerate(header):
        indexed = _INDEXED.fullmatch(title.strip())
        name, index = (indexed[1], int(indexed[2])) if indexed else (title.strip(), 0)
        if index in found.setdefault(name, {}):
            raise DataError(f"{file} has two columns for {title!r}; each needs a name of its own")
        found[name][index] = position
    for name, positions in found.items():
        if max(positions) != len(positions) - 1:
            missing = next(index for index in range(len(positions)) if index not in positions)
            raise DataError(f"{file} has no column '{name}[{missing}]', but later ones; none may be left out")
    return {name: [positions[index] for index in range(len(positions))] for name, positions in found.items()}


def _parsed(texts: list[list[str]], dtype: str) -> Array:
    """[rows, cells] of the dtype. Raises ValueError or OverflowError."""
    wanted = NUMPY_DTYPES[dtype]
    if dtype == "string":
        return np.array(texts, object)
    if wanted.kind == "b":
        return np.array([[_truth(text) for text in line] for line in texts])
    if wanted.kind in "iu":
        return np.array([[int(text) for text in line] for line in texts], wanted)
    return np.array([[float(text) for text in line] for line in texts]).astype(wanted)


def _truth(text: str) -> bool:
    try:
        return _TRUTHS[text.strip().lower()]
    except KeyError:
        raise ValueError(f"{text!r} is neither true nor false") from None


def _shaped(values: Array, spec: TensorSpec, has_batch_axis: bool) -> Array:
    """Of the input's shape where the cells fit it; else as they are, for the check against the signature to tell."""
    rows, cells = values.shape
    row = (spec.shape[1:] if has_batch_axis else spec.shape) if spec.shape is not None else (cells,)
    try:
        return values.reshape(rows, *row)
    except ValueError:
        return values


def _wide_enough(text: str, dtype: type[Any]) -> type[Any]:
    """The first of int64, float64 and object, from `dtype` on, that the label fits."""
    for wider, parse in ((np.int64, int), (np.float64, float)):
        if dtype in (np.int64, wider):
            try:
                parse(text)
            except ValueError:
                continue
            return wider
    return object
