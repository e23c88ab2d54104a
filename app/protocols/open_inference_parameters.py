"""What an infer request says beside its tensors, read to the letter: parameters, and which outputs it wants how.

Source: docs/protocol of triton-inference-server/server (parameters, schedule policy, binary data, classification,
shared memory).
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from app.errors import Malformed
from app.protocols.quoting import listed, quoted, told
from app.serving.request import NORMAL_PRIORITY, PRIORITY_LEVELS
from engines.signature import NUMPY_DTYPES, Signature, TensorSpec

Parameters = Mapping[str, str | float | bool]

INPUT_PARAMETERS = ("binary_data_size", "shared_memory_region", "shared_memory_byte_size", "shared_memory_offset")
"""Those of an input that mean something."""

_MICROSECONDS = 1_000_000


class Place(NamedTuple):
    """A stretch of a shared memory region."""

    region: str
    offset: int
    size_bytes: int


class AskedOutput(NamedTuple):
    """An output that the answer holds, and how."""

    name: str
    binary: bool = False
    """Raw bytes behind the answer's JSON; else numbers in it."""
    classes: int = 0
    """How many of the largest values are asked for, with their index; 0 for the output as it is."""
    place: Place | None = None
    """Where to write it instead of sending it."""


class Asked(NamedTuple):
    """What is asked of the answer, and of the way to it."""

    outputs: tuple[AskedOutput, ...]
    timeout_seconds: float | None = None
    priority: int = NORMAL_PRIORITY


def all_outputs(signature: Signature, *, binary: bool) -> tuple[AskedOutput, ...]:
    """Every output of the model."""
    return tuple(AskedOutput(spec.name, binary) for spec in signature.outputs)


def read_asked(parameters: Any, outputs: Any, signature: Signature) -> Asked:
    """Read a request's `parameters` and `outputs`. Raises Malformed."""
    where = "the request"
    named = scalars(parameters, where)
    for name in named:
        if name.startswith("triton_"):
            raise Malformed(f"parameter {quoted(name)}: names that start with 'triton_' are reserved")
    if not isinstance(named.get("sequence_id"), str):
        whole(named, "sequence_id", where)
    for name in ("sequence_start", "sequence_end"):  # no model here keeps a state, so they mean nothing
        flag(named, name, where)
    timeout = whole(named, "timeout", where)
    priority = whole(named, "priority", where) or NORMAL_PRIORITY
    return Asked(
        _asked_outputs(outputs, signature, binary=flag(named, "binary_data_output", where) or False),
        timeout / _MICROSECONDS if timeout else None,
        priority if priority <= PRIORITY_LEVELS else NORMAL_PRIORITY,
    )


def scalars(parameters: Any, where: str) -> Parameters:
    """The parameters of a request, an input or an output, without those that are null. Raises Malformed."""
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise Malformed(f"{where}: 'parameters' must be an object, got {told(parameters)}")
    for name, value in parameters.items():
        if isinstance(value, list | dict):
            raise Malformed(
                f"{where}: parameter {quoted(name)} must be a string, a number, true or false, got {told(value)}"
            )
    return {name: value for name, value in parameters.items() if value is not None}


def whole(parameters: Parameters, name: str, where: str, least: int = 0) -> int | None:
    """The parameter as an integer of 64 bits; None where it is not given. Raises Malformed."""
    value = parameters.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**64:
        raise Malformed(f"{where}: parameter '{name}' must be a whole number from {least} on, got {told(value)}")
    return value


def flag(parameters: Parameters, name: str, where: str) -> bool | None:
    """The parameter as a bool; None where it is not given. Raises Malformed."""
    value = parameters.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise Malformed(f"{where}: parameter '{name}' must be true or false, got {told(value)}")


def place_in(parameters: Parameters, where: str) -> Place | None:
    """The shared memory that is meant; None where none is. Raises Malformed."""
    region = parameters.get("shared_memory_region")
    size_bytes = whole(parameters, "shared_memory_byte_size", where)
    offset = whole(parameters, "shared_memory_offset", where) or 0
    if region is None:
        return None
    if not isinstance(region, str):
        raise Malformed(f"{where}: parameter 'shared_memory_region' must be a string, got {told(region)}")
    if size_bytes is None:
        raise Malformed(f"{where}: 'shared_memory_region' needs 'shared_memory_byte_size' beside it")
    return Place(region, offset, size_bytes)


def _asked_outputs(outputs: Any, signature: Signature, *, binary: bool) -> tuple[AskedOutput, ...]:
    if outputs is None or outputs == []:
        return all_outputs(signature, binary=binary)
    if not isinstance(outputs, list):
        raise Malformed(f"'outputs' must be a list of objects with a name, got {told(outputs)}")
    specs = {spec.name: spec for spec in signature.outputs}
    asked: dict[str, AskedOutput] = {}
    for index, entry in enumerate(outputs):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            raise Malformed(f"'outputs'[{index}] must be an object with the 'name' of an output, got {told(entry)}")
        if name not in specs:
            raise Malformed(f"unknown output {quoted(name)}: the model has {listed(specs)}")
        if name in asked:
            raise Malformed(f"output '{name}' is asked for twice")
        asked[name] = _asked_output(entry, specs[name], binary=binary)
    return tuple(asked.values())


def _asked_output(entry: Mapping[str, Any], spec: TensorSpec, *, binary: bool) -> AskedOutput:
    where = f"output '{spec.name}'"
    parameters = scalars(entry.get("parameters"), where)
    overridden = flag(parameters, "binary_data", where)
    classes = whole(parameters, "classification", where, least=1) or 0
    place = place_in(parameters, where)
    if classes and place is not None:
        raise Malformed(f"{where}: 'classification' does not go together with 'shared_memory_region'")
    if classes and spec.dtype == "string":
        raise Malformed(f"{where} holds texts: 'classification' is for numbers")
    return AskedOutput(spec.name, binary if overridden is None else overridden, classes, place)


def check_room(asked: Asked, signature: Signature, rows: int) -> None:
    """Raises Malformed where an output cannot fit into its shared memory, as far as that is known beforehand."""
    for output in asked.outputs:
        if output.place is not None:
            spec = next(spec for spec in signature.outputs if spec.name == output.name)
            check_fit(output.name, _least_size(spec, signature, rows), output.place)


def check_fit(name: str, size_bytes: int, place: Place) -> None:
    """Raises Malformed unless an output of that size fits."""
    if size_bytes > place.size_bytes:
        raise Malformed(
            f"output '{name}' takes {size_bytes} bytes, its 'shared_memory_byte_size' is {place.size_bytes}"
        )


def _least_size(spec: TensorSpec, signature: Signature, rows: int) -> int:
    """Bytes of an output for so many rows; 0 where its shape depends on more than those."""
    if spec.shape is None or spec.dtype == "string":
        return 0
    shape = spec.shape if signature.batch_axis is None else (rows, *spec.shape[1:])
    return 0 if -1 in shape else math.prod(shape) * NUMPY_DTYPES[spec.dtype].itemsize
