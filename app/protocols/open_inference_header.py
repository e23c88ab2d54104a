"""The JSON part of an infer request, read to the letter.

Triton calls it the inference header: raw tensors may follow it. Source: kserve/open-inference-protocol
`specification/protocol/inference_rest.md` and triton-inference-server/server `docs/protocol`. Where Triton wraps
around or flattens silently, this refuses.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from app.errors import Malformed
from app.protocols import binary_tensors
from app.protocols.codec import check_shape
from app.protocols.json_exact import MOST_DIMENSIONS, parse_whole, tensor
from app.protocols.open_inference_metadata import DATATYPES
from app.protocols.open_inference_parameters import Asked, Place, place_in, read_asked, scalars, whole
from app.protocols.quoting import listed, quoted, told
from engines.engine import Array
from engines.signature import Signature, TensorSpec

# A shape with a 0 holds no values whatever its other sizes are, and a model could be made to fill memory by them.
_MOST_BESIDE_ZERO = 2**20


class Tensor(NamedTuple):
    """One of the inputs, checked against the signature. Its values are in exactly one of three places."""

    spec: TensorSpec
    shape: tuple[int, ...]
    values: Array | None
    """Those that stood in the JSON."""
    size_bytes: int | None
    """How long it is among the raw tensors behind the JSON."""
    place: Place | None
    """Where it lies in shared memory."""

    @property
    def bytes_apart(self) -> int:
        """How many bytes its values take outside the JSON."""
        return self.size_bytes or (self.place.size_bytes if self.place is not None else 0)


class Header(NamedTuple):
    """The JSON part of a request. It depends on nothing but its text and the signature."""

    request_id: str | None
    asked: Asked
    tensors: tuple[Tensor, ...]


def read_header(text: bytes, signature: Signature) -> Header:
    """Read the JSON part of a request. Raises Malformed."""
    document = parse_whole(text)
    if not isinstance(document, dict):
        raise Malformed(f"the body must be a JSON object with 'inputs', got {told(document)}")
    return Header(
        request_id(document.get("id")),
        read_asked(document.get("parameters"), document.get("outputs"), signature),
        _tensors(document.get("inputs"), {spec.name: spec for spec in signature.inputs}),
    )


def request_id(value: Any) -> str | None:
    """The client's id. An empty one is none, as in Triton: its C++ client sends that where it has none.

    Raises Malformed.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise Malformed(f"'id' must be a string, got {told(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Malformed("'id' holds half a surrogate pair") from None
    return value or None


def _tensors(entries: Any, specs: Mapping[str, TensorSpec]) -> tuple[Tensor, ...]:
    if not isinstance(entries, list):
        raise Malformed(f"'inputs' must be a list of objects with a name, a shape and a datatype, got {told(entries)}")
    found: dict[str, Tensor] = {}
    for index, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            raise Malformed(f"'inputs'[{index}] must be an object with the 'name' of an input, got {told(entry)}")
        if name not in specs:
            raise Malformed(f"unknown input {quoted(name)}: the model has {listed(specs)}")
        if name in found:
            raise Malformed(f"input '{name}' is given twice")
        found[name] = _tensor(entry, specs[name])
    if missing := [name for name in specs if name not in found]:
        raise Malformed(f"missing input '{missing[0]}': the model needs {listed(specs)}, got {listed(found)}")
    return tuple(found.values())


def _tensor(entry: Mapping[str, Any], spec: TensorSpec) -> Tensor:
    where = f"input '{spec.name}'"
    if entry.get("datatype") != DATATYPES[spec.dtype]:
        raise Malformed(f"{where}: 'datatype' must be {DATATYPES[spec.dtype]}, got {told(entry.get('datatype'))}")
    shape = _shape(entry.get("shape"), spec)
    parameters = scalars(entry.get("parameters"), where)
    data = entry.get("data")
    size_bytes = whole(parameters, "binary_data_size", where)
    place = place_in(parameters, where)
    if [data, size_bytes, place].count(None) != 2:
        raise Malformed(
            f"{where}: expected exactly one of 'data' and the parameters 'binary_data_size' and 'shared_memory_region'"
        )
    if size_bytes is not None:
        binary_tensors.check_size(spec, shape, size_bytes)
    elif place is not None:
        binary_tensors.check_size(spec, shape, place.size_bytes)
    return Tensor(spec, shape, None if data is None else _values(data, shape, spec), size_bytes, place)


def _shape(value: Any, spec: TensorSpec) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > MOST_DIMENSIONS:
        raise Malformed(f"input '{spec.name}': 'shape' must be a list of at most {MOST_DIMENSIONS}, got {told(value)}")
    for size in value:
        if type(size) is not int or not 0 <= size < 2**63:
            raise Malformed(f"input '{spec.name}': 'shape' must hold whole numbers from 0 on, got {told(size)}")
    shape = tuple(value)
    check_shape(spec, shape)
    fixed = spec.shape or (-1,) * len(shape)
    beside = math.prod(size for size, wanted in zip(shape, fixed, strict=True) if size and wanted == -1)
    if 0 in shape and beside > _MOST_BESIDE_ZERO:
        raise Malformed(
            f"input '{spec.name}' holds no values, yet its shape is {list(shape)}: "
            f"the other sizes may come to {_MOST_BESIDE_ZERO} at most"
        )
    return shape


def _values(data: Any, shape: tuple[int, ...], spec: TensorSpec) -> Array:
    """The values of `data`, which is nested as the shape says, or flat."""
    if not isinstance(data, list):
        raise Malformed(f"input '{spec.name}': 'data' must be a list, got {told(data)}")
    array = tensor(data, spec, takes_b64=False)
    if array.shape == shape:
        return array
    if array.ndim == 1 and array.size == math.prod(shape):
        return array.reshape(shape)
    raise Malformed(
        f"input '{spec.name}': 'data' has the shape {list(array.shape)}, expected {list(shape)} as 'shape' says, "
        f"or its {math.prod(shape)} values in one list"
    )
