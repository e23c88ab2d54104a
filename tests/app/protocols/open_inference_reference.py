"""A slow and obvious reader of infer requests: struct and one element after the other."""

import math
import struct
from typing import Any

import numpy as np

from engines.signature import NUMPY_DTYPES, Signature, TensorSpec
from tests.app.protocols.json_reference import Array, bits, element, is_text, need, read_whole, refuse, shape_of

DATATYPES = {
    "float16": "FP16", "float32": "FP32", "float64": "FP64", "bfloat16": "BF16", "bool": "BOOL", "string": "BYTES",
    **{name: name.upper() for name in NUMPY_DTYPES if "int" in name},
}  # fmt: skip
_LEVELS = (1, 2, 3)


def is_whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**64


def reference(signature: Signature, body: bytes, json_bytes: int | None) -> tuple[Any, ...]:
    """All that a request means. Raises Refused."""
    if json_bytes == 0:
        return reference_of_raw(signature, body)
    need(json_bytes is None or json_bytes <= len(body))
    text, tail = body[:json_bytes], body[len(body) if json_bytes is None else json_bytes :]
    document = read_whole(text)
    need(isinstance(document, dict) and isinstance(document.get("inputs"), list))
    own_id = document.get("id")
    need(own_id is None or (isinstance(own_id, str) and is_text(own_id)))
    timeout, priority, binary = request_parameters(document.get("parameters"))
    outputs = asked_outputs(document.get("outputs"), signature, binary)
    arrays = {}
    for entry in document["inputs"]:
        need(isinstance(entry, dict) and isinstance(entry.get("name"), str) and entry["name"] not in arrays)
        spec = {spec.name: spec for spec in signature.inputs}.get(entry["name"]) or refuse()
        size = parameters_of(entry).get("binary_data_size")
        need(size is None or json_bytes is not None)
        arrays[spec.name], tail = array(entry, spec, tail)
    need(set(arrays) == {spec.name for spec in signature.inputs} and not tail)
    return bound(signature, arrays, own_id or None, outputs, timeout, priority)


def bound(
    signature: Signature, arrays: dict[str, Array], own_id: Any, outputs: Any, timeout: Any = None, priority: int = 2
) -> tuple[Any, ...]:
    rows = 1
    if signature.batch_axis == 0:
        need(all(a.ndim for a in arrays.values()))
        lengths = {len(a) for a in arrays.values()}
        need(len(lengths) == 1)
        rows = lengths.pop()
    return bits(arrays), rows, own_id, outputs, timeout, priority


def reference_of_raw(signature: Signature, body: bytes) -> tuple[Any, ...]:
    need(len(signature.inputs) == 1)
    (spec,) = signature.inputs
    need(spec.shape is not None)
    shape = list(spec.shape or ())
    if signature.batch_axis == 0:
        shape[0] = 1
    if spec.dtype == "string":
        need(math.prod(shape) == 1 and -1 not in shape)
        body = struct.pack("<I", len(body)) + body
    need(shape.count(-1) < 2)
    if -1 in shape:
        for size in range(len(body) + 1):
            tried = [size if wanted == -1 else wanted for wanted in shape]
            if math.prod(tried) * NUMPY_DTYPES[spec.dtype].itemsize == len(body):
                shape = tried
                break
    need(-1 not in shape)
    found, rest = from_bytes(spec, tuple(shape), body, len(body))
    need(not rest)
    return bound(signature, {spec.name: found}, None, tuple((name, True, 0) for name in ("y", "t")))


def parameters_of(entry: dict[str, Any]) -> dict[str, Any]:
    parameters = entry.get("parameters")
    if parameters is None:
        return {}
    need(isinstance(parameters, dict) and not any(isinstance(value, list | dict) for value in parameters.values()))
    return {name: value for name, value in parameters.items() if value is not None}


def request_parameters(parameters: Any) -> tuple[float | None, int, bool]:
    named = parameters_of({"parameters": parameters})
    need(not any(name.startswith("triton_") for name in named))
    for name in ("priority", "timeout"):
        need(is_whole(named.get(name, 0)))
    need(isinstance(named.get("sequence_id", ""), str) or is_whole(named["sequence_id"]))
    for name in ("sequence_start", "sequence_end", "binary_data_output"):
        need(isinstance(named.get(name, False), bool))
    priority, timeout = named.get("priority", 0), named.get("timeout", 0)
    return (
        timeout / 1e6 if timeout else None,
        priority if priority in _LEVELS else 2,
        named.get("binary_data_output", False),
    )


def asked_outputs(entries: Any, signature: Signature, binary: bool) -> tuple[Any, ...]:
    dtypes = {spec.name: spec.dtype for spec in signature.outputs}
    if entries is None or entries == []:
        return tuple((name, binary, 0) for name in dtypes)
    need(isinstance(entries, list))
    asked = []
    for entry in entries:
        need(isinstance(entry, dict) and isinstance(entry.get("name"), str) and entry["name"] in dtypes)
        named = parameters_of(entry)
        need(isinstance(named.get("binary_data", False), bool))
        classes = named.get("classification")
        need(classes is None or (is_whole(classes) and classes > 0 and dtypes[entry["name"]] != "string"))
        asked.append((entry["name"], named.get("binary_data", binary), classes or 0))
    need(len({name for name, _, _ in asked}) == len(asked))
    return tuple(asked)


def array(entry: dict[str, Any], spec: TensorSpec, tail: bytes) -> tuple[Array, bytes]:
    need(entry.get("datatype") == DATATYPES[spec.dtype])
    shape = entry.get("shape")
    need(isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape))
    wanted = shape if spec.shape is None else spec.shape
    need(len(shape) == len(wanted) and all(w in (-1, s) for w, s in zip(wanted, shape, strict=True)))
    data, size = entry.get("data"), parameters_of(entry).get("binary_data_size")
    need((data is None) != (size is None))
    if data is None:
        need(is_whole(size))
        return from_bytes(spec, tuple(shape), tail, size)
    return from_json(spec, tuple(shape), data), tail


def from_json(spec: TensorSpec, shape: tuple[int, ...], data: Any) -> Array:
    need(isinstance(data, list))
    came = shape_of(data)
    need(came == shape or came == (math.prod(shape),))
    leaves = data
    for _ in came[1:]:
        leaves = [leaf for part in leaves for leaf in part]
    found = np.empty(len(leaves), NUMPY_DTYPES[spec.dtype])
    for index, leaf in enumerate(leaves):
        found[index] = element(leaf, spec.dtype)
    return found.reshape(shape)


FORMATS = {
    "float32": "<f", "float64": "<d", "float16": "<e", "bool": "<?", "int8": "<b", "uint8": "<B", "int16": "<h",
    "uint16": "<H", "int32": "<i", "uint32": "<I", "int64": "<q", "uint64": "<Q",
}  # fmt: skip


def from_bytes(spec: TensorSpec, shape: tuple[int, ...], tail: bytes, size: int) -> tuple[Array, bytes]:
    """The tensor in the first `size` bytes, element by element, and what follows them."""
    need(size <= len(tail))
    mine, rest = tail[:size], tail[size:]
    found = np.empty(math.prod(shape), NUMPY_DTYPES[spec.dtype])
    for index in range(len(found)):
        if spec.dtype == "string":
            need(len(mine) >= 4)
            (length,) = struct.unpack("<I", mine[:4])
            need(len(mine) >= 4 + length)
            try:
                found[index], mine = mine[4 : 4 + length].decode(), mine[4 + length :]
            except UnicodeDecodeError:
                refuse()
            continue
        width = NUMPY_DTYPES[spec.dtype].itemsize
        one, mine = mine[:width], mine[width:]
        need(len(one) == width)
        if spec.dtype == "bfloat16":  # the upper half of a float
            found[index : index + 1].view(np.uint16)[:] = struct.unpack("<H", one)
        elif spec.dtype in ("float16", "float32"):  # a NaN keeps its bits
            found[index : index + 1].view(f"u{width}")[:] = struct.unpack("<H" if width == 2 else "<I", one)
        else:
            (found[index],) = struct.unpack(FORMATS[spec.dtype], one)
    need(not mine)
    return found.reshape(shape), rest
