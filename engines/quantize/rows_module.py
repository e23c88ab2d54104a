"""Rows that a user's function yields: `module:function`, called without arguments.

It yields dicts of arrays, some rows each, named by input, with `labels` if they are known. It is called anew each time
the rows are read, and must yield the same then.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from engines.errors import DataError
from engines.quantize.columns import Columns, pick, rows_in
from engines.quantize.user_code import load_function


class ModuleTable:
    """What one function yields; see `engines.quantize.columns.Table`."""

    def __init__(self, name: str) -> None:
        """Call it once, to count the rows. Raises DataError."""
        self._name = name
        self._function = load_function(name)
        self.count = sum(map(rows_in, self._blocks()))

    def read(self, chosen: Sequence[int]) -> Iterator[Columns]:
        return pick(self._blocks(), chosen)

    def _blocks(self) -> Iterator[Columns]:
        try:
            for batch in self._function():
                yield self._columns(batch)
        except DataError:
            raise
        except (Exception, SystemExit) as error:
            raise DataError(f"{self._name} failed with {type(error).__name__}: {error}") from error

    def _columns(self, batch: Any) -> Columns:
        if not isinstance(batch, Mapping) or not batch:
            raise DataError(
                f"{self._name} yielded {type(batch).__name__}; expected are dicts of arrays, named by input"
            )
        columns = {str(name): np.asarray(value) for name, value in batch.items()}
        counts = {name: len(array) if array.ndim else None for name, array in columns.items()}
        if None in counts.values() or len(set(counts.values())) != 1:
            raise DataError(f"{self._name} yielded arrays of {counts} rows; each needs an entry a row along axis 0")
        return columns
