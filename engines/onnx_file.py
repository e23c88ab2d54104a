"""Reads an ONNX file that nobody vouches for: takes it in whole, or says what is wrong with it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto

from engines.errors import ModelFileError
from engines.onnx_external import external_files
from engines.onnx_graph import elements, graphs, nodes, tensors
from engines.onnx_operators import check_operators, imports_of, opset_of
from engines.onnx_signature import read_signature
from engines.signature import Signature

# What protobuf can hold.
_MOST_BYTES = 2**31 - 1
# A constant above this is a weight: no operator takes its shape from it.
_WEIGHT_BYTES = 65536
_FLOATS = {
    TensorProto.FLOAT: ("fp32", 4),
    TensorProto.FLOAT16: ("fp16", 2),
    TensorProto.BFLOAT16: ("bf16", 2),
    TensorProto.DOUBLE: ("fp64", 8),
}


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """An ONNX file that was judged good.

    `external` maps the locations by which its tensors name further files to these files. `variant` tells its numbers:
    `int8` for a quantized model, else `fp32`, `fp16`, `bf16` or `fp64` after most of its weights. `opset` is the
    version of the standard operators; `producer` says who wrote the file, as the file has it.
    """

    path: Path
    signature: Signature
    external: Mapping[str, Path]
    variant: str
    opset: int
    producer: str


def read_onnx(path: Path) -> OnnxModel:
    """Read and judge the ONNX file at `path`, and the files beside it that it names; no weight is read from those.

    Raises ModelFileError, whose message names the file, whatever the file holds.
    """
    try:
        return _read(path)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error.__cause__
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror or error}.") from error
    except UnicodeError as error:
        raise ModelFileError(f"{path}: has a name that is not UTF-8 ({error}). Export it again.") from error
    except (MemoryError, RecursionError) as error:
        raise ModelFileError(f"{path}: asks for more memory or depth than there is. Export it again.") from error


def _read(path: Path) -> OnnxModel:
    model = _parse(path)
    _check_versions(model)
    check_operators(model)
    external = external_files(tensors(model), path.parent)
    variant = _variant(model)
    _drop_weights(model)
    _check(model)
    return OnnxModel(
        path=path,
        signature=read_signature(_with_shapes(model).graph),
        external=external,
        variant=variant,
        opset=opset_of(imports_of(model)),
        producer=f"{model.producer_name} {model.producer_version}".strip(),
    )


def _parse(path: Path) -> ModelProto:
    if path.exists() and not path.is_file():
        raise ModelFileError("is not a regular file. Name the .onnx file itself.")
    if path.stat().st_size > _MOST_BYTES:
        raise ModelFileError("is larger than 2 GiB. Save it with its weights as external data beside it.")
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ModelFileError("is not an ONNX model, or was cut short. Export or copy it again.") from error
    if not model.ir_version or not model.HasField("graph"):
        raise ModelFileError("is not an ONNX model: it has no IR version or no graph. Name an exported .onnx file.")
    return model


def _check_versions(model: ModelProto) -> None:
    """Refuse what is newer than the installed onnx, which could neither check it nor know its operators."""
    _, newest_ir, *newest = onnx.helper.VERSION_TABLE[-1]
    versions = [("IR version", model.ir_version, newest_ir)]
    imports = imports_of(model)
    for domain, most in zip(("", "ai.onnx.ml"), newest, strict=False):
        versions.append((f"opset of {domain or 'ai.onnx'}", imports.get(domain, 0), most))
    for what, found, most in versions:
        if found > most:
            raise ModelFileError(
                f"has {what} {found}; onnx {onnx.__version__} knows it up to {most}. "
                f"Export with {most} or less, or convert with onnx.version_converter."
            )


def _variant(model: ModelProto) -> str:
    if any(_is_quantized(node.op_type) for node in nodes(model)):
        return "int8"
    weights = Counter({name: 0.0 for name, _ in _FLOATS.values()})
    for tensor in tensors(model):
        if tensor.data_type in _FLOATS:
            name, size = _FLOATS[tensor.data_type]
            weights[name] += elements(tensor) * size
    return weights.most_common(1)[0][0]


def _is_quantized(operator: str) -> bool:
    return operator in ("QuantizeLinear", "DequantizeLinear") or "Integer" in operator or operator.startswith("QLinear")


def _drop_weights(model: ModelProto) -> None:
    """Leave a byte of every weight: checking and shape inference then copy no gigabytes and open no other file.

    The checker wants data in each tensor that is not empty, and does not count it.
    """
    for tensor in tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL or len(tensor.raw_data) > _WEIGHT_BYTES:
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
            tensor.raw_data = b"\0" if elements(tensor) else b""


def _check(model: ModelProto) -> None:
    checked = ModelProto()
    checked.CopyFrom(model)
    for graph in graphs(checked):
        # The checker insists on a shape, which exporters leave out and every engine can do without.
        for value in (*graph.input, *graph.output):
            if value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape"):
                value.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(checked)
    except onnx.checker.ValidationError as error:
        raise ModelFileError(f"is not a valid model: {_first_line(error)} Export it again.") from error


def _with_shapes(model: ModelProto) -> ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(model)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        raise ModelFileError(f"its shapes or dtypes contradict: {_first_line(error)} Export it again.") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") + "."
