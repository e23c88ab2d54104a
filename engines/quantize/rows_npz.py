"""Rows from an `.npz` file: one array for each input, named as it is, and `labels`.

The members are read side by side as streams, a block of rows at a time, compressed or not.
"""

import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from engines.engine import Array
from engines.errors import DataError
from engines.quantize.columns import BLOCK_BYTES, Columns, pick

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class _Member(NamedTuple):
    """One array: its shape with the rows first, and the stream that stands at its values."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stream: IO[bytes]

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def read(self, rows: int) -> Array:
        data = self.stream.read(rows * self.row_bytes)
        if len(data) < rows * self.row_bytes:
            raise EOFError
        return np.frombuffer(data, self.dtype).reshape(rows, *self.shape[1:])


class NpzTable:
    """The rows of one file; see `engines.quantize.columns.Table`."""

    def __init__(self, path: Path) -> None:
        """Read the headers. Raises DataError."""
        self._path = path
        with ExitStack() as stack:
            counts = {name: member.shape[0] for name, member in self._members(stack).items()}
        if len(set(counts.values())) != 1:
            raise DataError(f"the arrays of {path.name} have {counts or 'no'} rows; each needs one entry a row")
        self.count = next(iter(counts.values()))

    def read(self, chosen: Sequence[int]) -> Iterator[Columns]:
        return pick(self._blocks(), chosen)

    def _blocks(self) -> Iterator[Columns]:
        with ExitStack() as stack:
            members = self._members(stack)
            step = max(1, BLOCK_BYTES // max(1, sum(member.row_bytes for member in members.values())))
            for start in range(0, self.count, step):
                rows = min(step, self.count - start)
                try:
                    yield {name: member.read(rows) for name, member in members.items()}
                except (EOFError, OSError, zlib.error, zipfile.BadZipFile) as error:
                    raise self._broken(error) from None

    def _members(self, stack: ExitStack) -> dict[str, _Member]:
        try:
            archive = stack.enter_context(zipfile.ZipFile(self._path))
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            return {name.removesuffix(".npy"): _open(name, stack.enter_context(archive.open(name))) for name in names}
        except (OSError, ValueError, KeyError, zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
            raise self._broken(error) from None

    def _broken(self, error: Exception) -> DataError:
        why = str(error) or "it ends early"
        return DataError(f"{self._path.name} cannot be read as .npz: {why}; write it with numpy.savez")


def _open(name: str, stream: IO[bytes]) -> _Member:
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"{name} has format {version}")
    shape, fortran, dtype = _HEADERS[version](stream)
    if dtype.hasobject:
        raise DataError(f"{name} holds Python objects, which are not read; save numbers, or text as numpy.str_")
    if not shape:
        raise DataError(f"{name} is a single value; an entry for each row is expected")
    if fortran and len(shape) > 1:
        raise DataError(f"{name} is in Fortran order; save numpy.ascontiguousarray(...) of it")
    return _Member(shape, dtype, stream)
