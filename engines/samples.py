"""Made-up inputs for a signature, to warm up and to measure with."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from engines.engine import Arrays
from engines.errors import InputRefused
from engines.signature import NUMPY_DTYPES, Signature, TensorSpec

# Size of a made-up input along a dynamic dimension that is not the batch.
DYNAMIC_SIZE = 8


# Made-up inputs beyond this are not made: a signature may claim any size, and the machine has a memory.
MOST_SAMPLE_BYTES = 256 << 20


def sample_inputs(signature: Signature, rows: int, seed: int) -> Arrays:
    """Made-up inputs that fit the signature: floats in [-1, 1], integers 0 and 1, empty strings; the same for a seed.

    A dynamic dimension that is not the batch gets DYNAMIC_SIZE; an unknown rank is taken for rank 1. Raises
    InputRefused for more than MOST_SAMPLE_BYTES.
    """
    shapes = {spec: sample_shape(spec, signature, rows) for spec in signature.inputs}
    size_bytes = _size_bytes(shapes)
    if size_bytes > MOST_SAMPLE_BYTES:
        raise InputRefused(f"{rows} made-up rows would take {size_bytes} bytes, at most {MOST_SAMPLE_BYTES} are made")
    random = np.random.default_rng(seed)
    return {spec.name: _sample(spec, shape, random) for spec, shape in shapes.items()}


def most_sample_rows(signature: Signature) -> int:
    """How many rows `sample_inputs` makes at most, or 1, which it may refuse."""
    row_bytes = _size_bytes({spec: sample_shape(spec, signature, 1) for spec in signature.inputs})
    return max(MOST_SAMPLE_BYTES // max(row_bytes, 1), 1)


def _size_bytes(shapes: Mapping[TensorSpec, tuple[int, ...]]) -> int:
    return sum(math.prod(shape) * NUMPY_DTYPES[spec.dtype].itemsize for spec, shape in shapes.items())


def sample_shape(spec: TensorSpec, signature: Signature, rows: int) -> tuple[int, ...]:
    """The shape of one made-up input; see `sample_inputs`."""
    declared = (-1,) if spec.shape is None else spec.shape
    shape = [DYNAMIC_SIZE if size == -1 else size for size in declared]
    if signature.batch_axis is not None:
        shape[signature.batch_axis] = rows
    return tuple(shape)


def _sample(spec: TensorSpec, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray[Any, Any]:
    dtype = NUMPY_DTYPES[spec.dtype]
    if spec.dtype == "string":
        return np.full(shape, "", object)
    if dtype.kind in "iub":
        return np.asarray(random.integers(0, 2, shape)).astype(dtype)
    return np.asarray(random.uniform(-1, 1, shape)).astype(dtype)
