"""The signature that an ONNX graph promises."""

import re
from collections.abc import Iterable

from onnx import GraphProto, TensorProto, TensorShapeProto, ValueInfoProto

from engines.errors import ModelFileError
from engines.signature import Signature, TensorSpec

_DTYPES: dict[int, str] = {
    TensorProto.FLOAT16: "float16",
    TensorProto.BFLOAT16: "bfloat16",
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.INT8: "int8",
    TensorProto.INT16: "int16",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
    TensorProto.UINT8: "uint8",
    TensorProto.UINT16: "uint16",
    TensorProto.UINT32: "uint32",
    TensorProto.UINT64: "uint64",
    TensorProto.BOOL: "bool",
    TensorProto.STRING: "string",
}
_MOST_AXES = 64  # of a numpy array
# What tf2onnx and PyTorch's older exporter call a dimension that nobody named, each one differently.
_NOBODYS_NAME = re.compile(r"unk__\d+|.*_dynamic_axes_\d+")


def signature_of(graph: GraphProto) -> Signature:
    """Inputs and outputs in the graph's order; an initializer that is listed as an input too is none.

    Raises ModelFileError for a sequence, map, optional or sparse tensor, for a dtype that is not served, and for a
    graph that takes nothing or gives nothing.
    """
    inputs = _inputs(graph)
    if not inputs or not graph.output:
        counts = f"{len(inputs)} inputs and {len(graph.output)} outputs"
        raise ModelFileError(f"the model has {counts}; it needs at least one of each")
    if len({value.name for value in graph.output}) < len(graph.output):
        raise ModelFileError("two outputs of the model have the same name; each needs its own")
    return Signature(
        tuple(_spec("input", value) for value in inputs),
        tuple(_spec("output", value) for value in graph.output),
        0 if _has_batch_axis(inputs, graph.output) else None,
    )


def _inputs(graph: GraphProto) -> list[ValueInfoProto]:
    held = {tensor.name for tensor in graph.initializer}
    held |= {sparse.values.name for sparse in graph.sparse_initializer}
    return [value for value in graph.input if value.name not in held]


def _spec(kind: str, value: ValueInfoProto) -> TensorSpec:
    form = value.type.WhichOneof("value")
    if form != "tensor_type":
        found = (form or "nothing").removesuffix("_type").replace("_", " ")
        raise ModelFileError(f"{kind} {value.name!r} is of kind {found}; only plain tensors are served")
    tensor = value.type.tensor_type
    if tensor.elem_type not in _DTYPES:
        names = {number: name for name, number in TensorProto.DataType.items()}
        found = names.get(tensor.elem_type, str(tensor.elem_type)).lower()
        raise ModelFileError(f"{kind} {value.name!r} has dtype {found}; served are {', '.join(_DTYPES.values())}")
    if len(tensor.shape.dim) > _MOST_AXES:
        raise ModelFileError(f"{kind} {value.name!r} has {len(tensor.shape.dim)} axes; at most {_MOST_AXES} are served")
    shape = tuple(_size(dim) for dim in tensor.shape.dim) if tensor.HasField("shape") else None
    return TensorSpec(value.name, _DTYPES[tensor.elem_type], shape)


def _size(dim: TensorShapeProto.Dimension) -> int:
    """Some exporters write a dynamic dimension as a negative number."""
    return max(dim.dim_value, -1) if dim.HasField("dim_value") else -1


def _has_batch_axis(inputs: Iterable[ValueInfoProto], outputs: Iterable[ValueInfoProto]) -> bool:
    """Whether axis 0 is the batch: dynamic in every input and output, and of one name wherever it has a name.

    It says what the file promises. That rows do not influence each other is for a run to show.
    """
    shapes = [value.type.tensor_type.shape.dim for value in (*inputs, *outputs)]
    if not all(dims and _size(dims[0]) == -1 for dims in shapes):
        return False
    names = {dims[0].dim_param for dims in shapes}
    return len({name for name in names if name and not _NOBODYS_NAME.fullmatch(name)}) <= 1
