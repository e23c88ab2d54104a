"""Do rows fit a signature? Said before anything runs, in words that help to mend the file."""

import numpy as np

from engines.engine import Array
from engines.errors import DataError
from engines.quantize.columns import LABELS, Columns, rows_in
from engines.signature import NUMPY_DTYPES, Signature, TensorSpec


def fit(columns: Columns, signature: Signature) -> Columns:
    """The columns in the signature's order, C-contiguous, text as `str` objects, LABELS last where there are some.

    A row of a model without batch axis is one whole input: `[rows, *shape]`, and `[rows, *shape[1:]]` too where the
    model fixes axis 0 to 1. Raises DataError.
    """
    names = [spec.name for spec in signature.inputs]
    stray = [name for name in columns if name not in names and name != LABELS]
    missing = [name for name in names if name not in columns]
    if stray or missing:
        raise DataError(
            f"the rows hold {sorted(columns)}, expected are the model's inputs {names} and, if known, {LABELS!r}; "
            "rename, add or leave out what differs"
        )
    count = rows_in(columns)
    uneven = {name: len(array) for name, array in columns.items() if len(array) != count}
    if uneven:
        raise DataError(f"the arrays differ in their rows: {uneven}, others have {count}; each needs an entry a row")
    fitted = {spec.name: _fit(columns[spec.name], spec, signature.batch_axis is not None) for spec in signature.inputs}
    if LABELS in columns and LABELS not in fitted:
        fitted[LABELS] = columns[LABELS]
    return fitted


def _fit(array: Array, spec: TensorSpec, has_batch_axis: bool) -> Array:
    return np.ascontiguousarray(_shaped(_typed(array, spec), spec, has_batch_axis))


def storable(array: Array) -> Array:
    """An array as a numpy file can hold it; `restored` gives it back."""
    return array.astype(np.str_) if array.dtype == object else array


def restored(array: Array, dtype: str) -> Array:
    """An array out of a numpy file as the signature's dtype has it: such files know no `str` objects, no bfloat16."""
    if dtype == "string" and array.dtype.kind in "UO":
        return array.astype(object)
    if dtype == "bfloat16" and array.dtype == np.dtype("V2"):
        return array.view(NUMPY_DTYPES[dtype])
    return array


def _typed(array: Array, spec: TensorSpec) -> Array:
    array = restored(array, spec.dtype)
    if array.dtype != NUMPY_DTYPES[spec.dtype]:
        raise DataError(
            f"input {spec.name!r} is {array.dtype}, the model takes {spec.dtype}; "
            f"scale the values as the model expects them and save them as {spec.dtype}"
        )
    return array


def _shaped(array: Array, spec: TensorSpec, has_batch_axis: bool) -> Array:
    if spec.shape is None:
        return array
    row = spec.shape[1:] if has_batch_axis else spec.shape
    found = array.shape[1:]
    if _fits(found, row):
        return array
    if not has_batch_axis and row[:1] == (1,) and _fits(found, row[1:]):
        return array[:, np.newaxis]
    raise DataError(
        f"a row of input {spec.name!r} has shape {list(found)}, the model takes {list(row)} (-1 is any size); "
        "resize or reshape the rows"
    )


def _fits(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(found) == len(wanted) and all(w in (-1, f) for f, w in zip(found, wanted, strict=True))
