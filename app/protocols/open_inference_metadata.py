"""The Open Inference Protocol's documents about the server and its models.

Source: kserve/open-inference-protocol `specification/protocol/inference_rest.md`; the names of the extensions are
those of Triton's `docs/protocol`.
"""

from typing import Any

from app.serving.servable import Identity, Servable
from app.serving.table import ServedModel
from engines.signature import TensorSpec

DATATYPES = {
    "float16": "FP16", "bfloat16": "BF16", "float32": "FP32", "float64": "FP64",
    "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
    "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
    "bool": "BOOL", "string": "BYTES",
}  # fmt: skip
"""Signature dtype -> the protocol's name; BF16 is Triton's."""

_EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "generate",  # Triton has it without naming it: it is provisional there
    "logging",
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",  # the parameter is read, and no model here has dependents
    "parameters",
    "schedule_policy",
    "statistics",
    "trace",
)
# `sequence` is not among them: no model here keeps a state between requests. Its parameters are read and mean nothing.
_SHARED_MEMORY = "system_shared_memory"

_PLATFORMS = {"onnxruntime": "onnxruntime_onnx"}


def server_metadata(version: str, *, shared_memory: bool) -> dict[str, Any]:
    """What this server is, and which extensions are on."""
    extensions = [*_EXTENSIONS, _SHARED_MEMORY] if shared_memory else [*_EXTENSIONS]
    return {"name": "octet", "version": version, "extensions": extensions}


def model_metadata(model: ServedModel, servable: Servable) -> dict[str, Any]:
    """The tensors of the version that answers, and every version that could be asked."""
    return {
        "name": model.name,
        "versions": [str(version) for version in model.versions],
        "platform": platform(servable.identity),
        "inputs": [_tensor(spec) for spec in servable.signature.inputs],
        "outputs": [_tensor(spec) for spec in servable.signature.outputs],
        "parameters": {"variant": servable.identity.variant},
    }


def engine_name(identity: Identity) -> str:
    """The engine without its version, which is what Triton calls a backend."""
    return identity.engine.partition(" ")[0]


def platform(identity: Identity) -> str:
    """What Triton calls a framework and its model format."""
    name = engine_name(identity)
    return _PLATFORMS.get(name, name)


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    """The protocol has no word for an unknown rank: such a tensor has one variable dimension and says so beside it."""
    known = {"name": spec.name, "datatype": DATATYPES[spec.dtype]}
    if spec.shape is None:
        return {**known, "shape": [-1], "unknown_rank": True}
    return {**known, "shape": list(spec.shape)}
