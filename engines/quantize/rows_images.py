"""Rows from a folder of images, each prepared as one line says.

What is true of an image is its line in `labels.csv` (a header, then file and label), or the name of its subfolder: a
whole number as it is, other names by their place in alphabetical order.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from engines.engine import Array
from engines.errors import DataError
from engines.quantize.columns import LABELS, Columns
from engines.quantize.image_steps import Steps, read_steps
from engines.signature import NUMPY_DTYPES, Signature, TensorSpec

_ENDINGS = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
_LABELS_FILE = "labels.csv"


class ImageTable:
    """The images of one folder, by name; see `engines.quantize.columns.Table`."""

    def __init__(self, folder: Path, line: str | None, signature: Signature) -> None:
        """List the folder; images are opened as they are read. Raises DataError."""
        if line is None:
            raise DataError(
                f"{folder} is a folder of images; say how an image becomes a row, "
                "such as 'resize 224 bilinear, rgb, /255, mean .485 .456 .406, std .229 .224 .225'"
            )
        if len(signature.inputs) != 1:
            raise DataError(f"a folder of images feeds one input, the model has {len(signature.inputs)}; save an .npz")
        _need_pillow()
        self._steps = read_steps(line)
        self._spec = signature.inputs[0]
        self._row = _row_shape(signature)
        self._files = sorted(
            file for file in folder.rglob("*") if file.suffix.lower() in _ENDINGS and not file.name.startswith(".")
        )
        self._labels = _labels(folder, self._files)
        self.count = len(self._files)

    def read(self, chosen: Sequence[int]) -> Iterator[Columns]:
        for position in chosen:
            columns = {self._spec.name: self._open(self._files[position])[np.newaxis]}
            if self._labels is not None:
                columns[LABELS] = np.array([self._labels[position]], np.int64)
            yield columns

    def _open(self, file: Path) -> Array:
        from PIL import Image

        try:
            with Image.open(file) as image:
                values = self._steps.apply(image)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(f"{file} cannot be read as an image: {error}; mend or remove it") from None
        return _typed(_arranged(values, self._row), self._spec, self._steps)


def _need_pillow() -> None:
    try:
        import PIL  # noqa: F401
    except ModuleNotFoundError:
        raise DataError("images are read by Pillow, which is not installed: pip install pillow") from None


def _row_shape(signature: Signature) -> tuple[int, ...] | None:
    shape = signature.inputs[0].shape
    has_rows = signature.batch_axis is not None or (shape is not None and len(shape) == 4 and shape[0] == 1)
    return shape[1:] if shape is not None and has_rows else shape


def _arranged(values: Array, row: tuple[int, ...] | None) -> Array:
    """[height, width, channels] as the model has it: channels last where its last axis says so, else first."""
    if row is not None and len(row) == 2 and values.shape[2] == 1:
        return values[:, :, 0]
    if row is not None and len(row) == 3 and row[2] == values.shape[2] and row[0] != values.shape[2]:
        return values
    return np.moveaxis(values, 2, 0)


def _typed(values: Array, spec: TensorSpec, steps: Steps) -> Array:
    dtype = NUMPY_DTYPES[spec.dtype]
    if dtype.kind in "biuO" and (spec.dtype != "uint8" or steps.on_values):
        raise DataError(
            f"the model takes {spec.dtype}, and the image line gives "
            f"{'fractions' if steps.on_values else 'whole numbers 0 to 255'}; save the rows as .npz"
        )
    return values.astype(dtype)


def _labels(folder: Path, files: Sequence[Path]) -> list[int] | None:
    """One a file; None where nothing tells them."""
    table = folder / _LABELS_FILE
    if table.is_file():
        return _listed_labels(table, [file.relative_to(folder).as_posix() for file in files])
    parents = [file.relative_to(folder).parent.as_posix() for file in files]
    if set(parents) <= {"."}:
        return None
    if "." in parents:
        raise DataError(f"{folder} holds images both beside and in subfolders; put all into subfolders, or none")
    names = sorted(set(parents))
    if all(name.isascii() and name.isdigit() for name in names):
        return [int(name) for name in parents]
    places = {name: place for place, name in enumerate(names)}
    return [places[name] for name in parents]


def _listed_labels(table: Path, files: list[str]) -> list[int]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            known = {line[0]: int(line[1]) for line in list(csv.reader(lines, strict=True))[1:] if line}
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise DataError(
            f"{table} cannot be read: {error}; expected are a header, then file,label on each line"
        ) from None
    missing = [file for file in files if file not in known]
    if missing:
        raise DataError(f"{table} has no line for {missing[0]} and {len(missing) - 1} others; add file,label")
    return [known[file] for file in files]
