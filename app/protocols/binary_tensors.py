"""Tensors as raw bytes (Triton's binary tensor data): little-endian, row-major, without gaps.

Source: docs/protocol/extension_binary_data.md of triton-inference-server/server. A text is four bytes of length and its
UTF-8; a bool is a byte, true unless it is 0.
"""

import math
from struct import Struct

import numpy as np

from app.errors import Malformed
from app.protocols.quoting import shape_text
from engines.engine import Array
from engines.signature import NUMPY_DTYPES, TensorSpec

Buffer = bytes | memoryview
"""Bytes, `len` says how many."""

_LENGTH = Struct("<I")
_MOST_TEXT_BYTES = 2**32 - 1


def check_size(spec: TensorSpec, shape: tuple[int, ...], size_bytes: int) -> None:
    """Raises Malformed unless a tensor of this shape can have so many bytes."""
    count = math.prod(shape)
    if spec.dtype == "string":
        wanted = count * _LENGTH.size
        fits = size_bytes >= wanted if count else not size_bytes
    else:
        wanted = count * NUMPY_DTYPES[spec.dtype].itemsize
        fits = size_bytes == wanted
    if not fits:
        least = "at least " if spec.dtype == "string" and count else ""
        raise Malformed(
            f"input byte size mismatch for input '{spec.name}': expected {least}{wanted} bytes "
            f"for shape {list(shape)} of {spec.dtype}, got {size_bytes}"
        )


def read(spec: TensorSpec, shape: tuple[int, ...], data: bytes, start: int, stop: int) -> Array:
    """The tensor at `data[start:stop]`, whose size was checked.

    A view where the numbers lie as the processor wants them, else one copy: they may begin at any byte, and engines
    take aligned arrays. Raises Malformed for a text that is not UTF-8 or is cut off.
    """
    if spec.dtype == "string":
        return _read_texts(spec, shape, data, start, stop)
    if spec.dtype == "bool":  # perf_analyzer sends any byte; other ones than 0 and 1 are undefined to numpy and engines
        truth: Array = np.ndarray(shape, np.uint8, data, start) != 0
        return truth
    array: Array = np.ndarray(shape, NUMPY_DTYPES[spec.dtype], data, start)
    return array if array.flags.aligned else array.copy()


def read_alone(spec: TensorSpec, data: bytes, *, batched: bool) -> Array:
    """The tensor in a body that says nothing else: one row, and what is dynamic follows from the size.

    A text stands there without its length. Raises Malformed where that is not enough, and as `read`.
    """
    if spec.shape is None:
        raise Malformed(f"the shape of the raw input '{spec.name}' can not be deduced, its rank is unknown: {_SAY}")
    shape = (1, *spec.shape[1:]) if batched else spec.shape
    if spec.dtype == "string":
        if -1 in shape or math.prod(shape) != 1:
            raise Malformed(f"the raw input '{spec.name}' is one text, the model wants {shape_text(shape)}: {_SAY}")
        data = _LENGTH.pack(len(data)) + data
    elif -1 in shape:
        shape = _deduced(spec, shape, len(data))
    check_size(spec, shape, len(data))
    return read(spec, shape, data, 0, len(data))


_SAY = "send a JSON header with the shape"


def _deduced(spec: TensorSpec, shape: tuple[int, ...], size_bytes: int) -> tuple[int, ...]:
    if shape.count(-1) > 1:
        raise Malformed(
            f"the shape of the raw input '{spec.name}' can not be deduced, {shape_text(shape)} has more than one "
            f"variable-sized dimension: {_SAY}"
        )
    unit = NUMPY_DTYPES[spec.dtype].itemsize * math.prod(size for size in shape if size != -1)
    return tuple(size_bytes // max(unit, 1) if size == -1 else size for size in shape)


def raw(array: Array) -> Buffer:
    """The bytes of a tensor, copied only where they do not lie in a row."""
    if array.dtype.kind != "O":
        return array.ravel().view(np.uint8).data
    pieces: list[bytes] = []
    for text in array.ravel().tolist():
        encoded = text.encode()
        if len(encoded) > _MOST_TEXT_BYTES:
            raise Malformed("an output holds a text of more than 4 GiB: ask for it as JSON")
        pieces += (_LENGTH.pack(len(encoded)), encoded)
    return b"".join(pieces)


def _read_texts(spec: TensorSpec, shape: tuple[int, ...], data: bytes, start: int, stop: int) -> Array:
    texts = np.empty(math.prod(shape), object)
    for index in range(len(texts)):
        begin = start + _LENGTH.size
        end = begin + _LENGTH.unpack_from(data, start)[0] if begin <= stop else begin
        if end > stop:
            raise Malformed(
                f"input '{spec.name}': expected {len(texts)} texts, each after its length in four bytes; "
                f"number {index + 1} is cut off by the end of the tensor"
            )
        try:
            texts[index] = data[begin:end].decode()
        except UnicodeDecodeError:
            raise Malformed(f"input '{spec.name}': text number {index + 1} is not UTF-8") from None
        start = end
    if start != stop:
        raise Malformed(
            f"input '{spec.name}': {stop - start} bytes follow its {len(texts)} texts, expected none: "
            "does the shape say how many there are?"
        )
    return texts.reshape(shape)
