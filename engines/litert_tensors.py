"""From arrays of a signature's dtype to those that a .tflite file holds, and back: 32-bit and quantized integers."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from engines.engine import Array
from engines.errors import InputRefused, LoadError
from engines.signature import NUMPY_DTYPES, TensorSpec

Convert = Callable[[Array], Array]
Details = Mapping[str, Any]
"""What LiteRT tells of a tensor: `name`, `dtype`, `shape_signature`, `quantization_parameters`."""

_INT32 = np.iinfo(np.int32)


def encoder(spec: TensorSpec, details: Details) -> Convert:
    """How the input's arrays become what the file takes. Raises LoadError where nothing fits.

    An int64 input may be int32 in the file, and refuses what does not fit; a float32 one may be quantized by one scale:
    q = saturate(round(x / scale) + zero_point), ties to even.
    """
    if _is_same(spec, details):
        return np.asarray
    if _is_narrowed(spec, details):
        return partial(_narrow, spec.name)
    return quantizer(np.dtype(details["dtype"]), *_quantization(spec, details))


def decoder(spec: TensorSpec, details: Details) -> Convert:
    """How what the file gives becomes the output's arrays: `encoder` the other way round. Raises LoadError."""
    if _is_same(spec, details):
        return np.asarray  # of rank 0, LiteRT gives numbers
    if _is_narrowed(spec, details):
        return partial(np.asarray, dtype=np.int64)
    return partial(dequantize, *_quantization(spec, details))


def quantizer(dtype: np.dtype[Any], scale: np.float32, zero_point: np.float32) -> Convert:
    """To the nearest integers; what is beyond the last one, infinity too, becomes that. No value may be NaN."""
    ends = np.iinfo(dtype)
    low, high = (ends.min - zero_point) * scale, (ends.max - zero_point) * scale

    def quantize(array: Array) -> Array:
        nearest = np.maximum(array, low)
        np.minimum(nearest, high, out=nearest)
        nearest /= scale
        np.rint(nearest, out=nearest)
        nearest += zero_point
        return nearest.astype(dtype)

    return quantize


def dequantize(scale: np.float32, zero_point: np.float32, array: Array) -> Array:
    """(q - zero_point) scale, float32."""
    return np.asarray((array - zero_point) * scale)


def _narrow(name: str, array: Array) -> Array:
    if array.size:
        low, high = int(array.min()), int(array.max())
        if low < _INT32.min or high > _INT32.max:
            raise InputRefused(
                f"'{name}' holds values from {low} to {high}, and this variant computes in 32 bits: at least "
                f"{_INT32.min}, at most {_INT32.max}; ask for the variant fp32 with such values"
            )
    return array.astype(np.int32)


def _is_same(spec: TensorSpec, details: Details) -> bool:
    return NUMPY_DTYPES[spec.dtype] == np.dtype(details["dtype"])


def _is_narrowed(spec: TensorSpec, details: Details) -> bool:
    return spec.dtype == "int64" and np.dtype(details["dtype"]) == np.int32


def _quantization(spec: TensorSpec, details: Details) -> tuple[np.float32, np.float32]:
    """Scale and zero point of a tensor that is kept as integers. Raises LoadError."""
    found, how = np.dtype(details["dtype"]), details["quantization_parameters"]
    if spec.dtype != "float32" or found.kind not in "iu" or found.itemsize > 2:
        raise LoadError(f"'{spec.name}' of the file is {found}, its signature says {spec.dtype}")
    if len(how["scales"]) != 1:
        raise LoadError(
            f"'{spec.name}' of the file is {found} with {len(how['scales'])} scales, its signature says float32, which "
            "takes one; export the file with float inputs and outputs"
        )
    return np.float32(how["scales"][0]), np.float32(how["zero_points"][0])
