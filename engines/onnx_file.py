"""Reads an ONNX file that nobody vouches for, and judges whether it is a model that can be taken in."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import GraphProto, ModelProto, TensorProto

from engines.errors import ModelFileError
from engines.onnx_external import external_files
from engines.onnx_operators import refuse_unknown_operators
from engines.onnx_shapes import inferred_outputs
from engines.onnx_signature import signature_of
from engines.onnx_walk import nodes_of, tensors_of, texts_of
from engines.signature import Signature

# Protobuf's own bound; what is larger must lie in external data.
MOST_BYTES = 2**31 - 1

# Weight type -> bytes of an element, and the variant that a model of mostly such weights is.
_WEIGHTS: dict[int, tuple[int, str]] = {
    TensorProto.FLOAT: (4, "fp32"),
    TensorProto.FLOAT16: (2, "fp16"),
    TensorProto.BFLOAT16: (2, "bf16"),
    TensorProto.DOUBLE: (8, "fp64"),
}
_INT8_OPERATORS = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantize", "QLinear", "MatMulInteger", "ConvInteger")


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """What a file holds. `external` maps each location that the file refers to to the file it means."""

    signature: Signature
    external: Mapping[str, Path]
    variant: str
    """How its numbers are held: fp32, fp16, bf16, fp64 or int8."""


def read_onnx(path: Path) -> OnnxModel:
    """Read and judge the file. Raises ModelFileError, whatever the file holds.

    Refused are: what onnx.checker refuses, unknown operators and custom-op domains, external data that is missing or
    outside the folder, and inputs or outputs that are no tensors or of a dtype that is not served. Whether ONNX
    Runtime runs it, only loading shows.
    """
    return _judge(path, parse_onnx(path))


def parse_onnx(path: Path) -> ModelProto:
    """The file without its external data, not judged any further. Raises ModelFileError."""
    content = _content(path)
    try:
        model = onnx.load_model_from_string(content)
    except Exception:  # noqa: BLE001  protobuf's DecodeError has no type that a checker knows
        raise ModelFileError(f"{path.name} is not an ONNX file: it was cut, or is of another format") from None
    if not model.HasField("graph"):
        raise ModelFileError(f"{path.name} is not an ONNX file: it holds no graph")
    if not all(isinstance(text, str) for text in texts_of(model)):
        raise ModelFileError(f"{path.name} holds a name that is not UTF-8: the file is damaged")
    return model


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():  # a pipe or device would be read for ever
            raise ModelFileError(f"there is no file {path}")
        if path.stat().st_size > MOST_BYTES:
            raise ModelFileError(f"{path.name} is over 2 GiB; export it with its weights as external data")
        return path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from None


def _judge(path: Path, model: ModelProto) -> OnnxModel:
    refuse_unknown_operators(model)
    external = external_files(model, path.parent)
    variant = _variant(model)
    if not all(_is_told(value) for value in model.graph.output):
        outputs = inferred_outputs(path)
        model.graph.ClearField("output")
        model.graph.output.extend(outputs)
    signature = signature_of(model.graph)
    _check(model)
    return OnnxModel(signature, external, variant)


def _variant(model: ModelProto) -> str:
    if any(node.op_type.startswith(_INT8_OPERATORS) for node in nodes_of(model)):
        return "int8"
    held: dict[str, float] = defaultdict(float)  # bytes; a float, for a broken file may claim any number of dimensions
    for tensor in tensors_of(model):
        if tensor.data_type in _WEIGHTS:
            size, variant = _WEIGHTS[tensor.data_type]
            held[variant] += math.prod(tensor.dims, start=float(size))
    return max(held, key=lambda variant: held[variant], default="fp32")


def _is_told(value: onnx.ValueInfoProto) -> bool:
    tensor = value.type.tensor_type
    return tensor.HasField("shape") and all(dim.WhichOneof("value") for dim in tensor.shape.dim)


def _check(model: ModelProto) -> None:
    """Let onnx.checker judge the model, which this changes: two things it asks for more than we do.

    It would look for external data in the current folder, and takes no input or output of unknown rank.
    """
    for tensor in tensors_of(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            _empty(tensor)
    _give_every_value_a_shape(model.graph)
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # noqa: BLE001  its errors share no base class
        raise ModelFileError(f"the model is not valid ONNX: {_one_line(error)}") from None


def _empty(tensor: TensorProto) -> None:
    for field in ("data_location", "external_data", "dims"):
        tensor.ClearField(field)
    tensor.dims.append(0)


def _give_every_value_a_shape(graph: GraphProto) -> None:
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.SetInParent()


def _one_line(error: Exception) -> str:
    """The complaint itself: what follows `==>` is the context, often a page of it."""
    return " ".join(str(error).partition("==>")[0].split())
