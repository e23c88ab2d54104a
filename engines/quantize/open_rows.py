"""Opens rows, whatever their format: some chosen by the seed, checked against the signature, digested, in batches."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from engines.errors import DataError
from engines.quantize.columns import LABELS, Columns, Table, choose, rebatch, rows_in, to_bytes
from engines.quantize.fit import fit
from engines.quantize.rows import Batch, Rows, RowsSpec
from engines.quantize.rows_csv import CsvTable
from engines.quantize.rows_images import ImageTable
from engines.quantize.rows_module import ModuleTable
from engines.quantize.rows_npz import NpzTable
from engines.signature import Signature


def open_rows(spec: RowsSpec, signature: Signature) -> Rows:
    """Read all chosen rows once, to check and digest them. Raises DataError."""
    table = _table(spec, signature)
    if spec.most_rows is not None and spec.most_rows < 1:
        raise DataError(f"{spec.most_rows} rows were asked for; at least one is needed")
    chosen = choose(table.count, spec.most_rows, spec.seed)
    if not chosen:
        raise DataError(f"{spec.path} holds no rows; at least one is needed")
    return _FittingRows(table, chosen, signature)


def _table(spec: RowsSpec, signature: Signature) -> Table:
    path = Path(spec.path)
    if spec.image is not None and not path.is_dir():
        raise DataError(f"{spec.path} is no folder, and only images are prepared by a line; leave the line out")
    if path.is_dir():
        return ImageTable(path, spec.image, signature)
    if path.is_file():
        return CsvTable(path, signature) if path.suffix.lower() == ".csv" else NpzTable(path)
    if re.fullmatch(r"[\w.]+:\w+", spec.path):
        return ModuleTable(spec.path)
    raise DataError(f"{spec.path} does not exist; give an .npz or .csv file, a folder of images, or module:function")


class _FittingRows:
    """See `engines.quantize.rows.Rows`."""

    def __init__(self, table: Table, chosen: Sequence[int], signature: Signature) -> None:
        self._table = table
        self._chosen = chosen
        self._signature = signature
        self.count = len(chosen)
        self.digest, names = _digest(self._blocks())
        self.has_labels = LABELS in names and LABELS not in {spec.name for spec in signature.inputs}

    def batches(self, rows: int) -> Iterator[Batch]:
        for columns in rebatch(self._blocks(), rows):
            labels = columns.pop(LABELS) if self.has_labels else None
            yield Batch(columns, labels)

    def _blocks(self) -> Iterator[Columns]:
        """Fitting blocks of one shape: what has no fixed size in the signature must still be alike in all rows."""
        shapes: dict[str, tuple[int, ...]] = {}
        count = 0
        for block in self._table.read(self._chosen):
            fitted = fit(block, self._signature)
            found = {name: array.shape[1:] for name, array in fitted.items()}
            shapes = shapes or found
            if found != shapes:
                raise DataError(f"rows differ in shape: {shapes} and then {found}; pad them to one shape")
            count += rows_in(fitted)
            yield fitted
        if count != self.count:
            raise DataError(
                f"{self.count} rows were there when they were counted, and then {count}; keep them as they are"
            )


def _digest(blocks: Iterator[Columns]) -> tuple[str, list[str]]:
    """SHA-256 over names, dtypes, shapes and values, whatever the blocks; and the names."""
    hashes: dict[str, hashlib._Hash] = {}
    kinds: dict[str, tuple[str, list[int]]] = {}
    count = 0
    for block in blocks:
        count += rows_in(block)
        for name, array in block.items():
            kinds[name] = (str(array.dtype), list(array.shape[1:]))
            hashes.setdefault(name, hashlib.sha256()).update(to_bytes(array))
    head = [(name, *kinds[name], hashes[name].hexdigest()) for name in sorted(kinds)]
    return hashlib.sha256(json.dumps([count, head]).encode()).hexdigest(), list(kinds)
