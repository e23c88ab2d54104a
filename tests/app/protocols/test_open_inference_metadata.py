"""What V2 says of the server and its models, field by field."""

import json
from typing import Any

import pytest
from semver import Version

from app.protocols.open_inference_metadata import model_metadata, server_metadata
from app.serving.servable import Identity
from app.serving.table import ServedModel
from engines.signature import NUMPY_DTYPES, Signature, TensorSpec
from tests.app.conftest import MakeServable


def as_read(document: object) -> Any:
    return json.loads(json.dumps(document))


def test_the_server_names_what_is_on() -> None:
    extensions = [
        "binary_tensor_data",
        "classification",
        "generate",
        "logging",
        "model_configuration",
        "model_repository",
        "model_repository(unload_dependents)",
        "parameters",
        "schedule_policy",
        "statistics",
        "trace",
    ]
    off, on = (as_read(server_metadata("1.2.3", shared_memory=shared_memory)) for shared_memory in (False, True))
    assert off == {"name": "octet", "version": "1.2.3", "extensions": extensions}
    assert on == {"name": "octet", "version": "1.2.3", "extensions": [*extensions, "system_shared_memory"]}


async def test_a_models_document_has_the_protocols_fields(make_servable: MakeServable) -> None:
    old, new = make_servable("Digits", "1.9.0"), make_servable("Digits", "1.10.0")
    model = ServedModel("Digits", {Version(1, 9, 0): old, Version(1, 10, 0): new})
    assert as_read(model_metadata(model, new)) == {
        "name": "Digits",
        "versions": ["1.9.0", "1.10.0"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
        "parameters": {"variant": "fp32"},
    }


async def test_every_dtype_and_shape_has_its_name(make_servable: MakeServable) -> None:
    servable = make_servable()
    specs = [TensorSpec(dtype, dtype, ()) for dtype in NUMPY_DTYPES]
    servable.signature = Signature((*specs, TensorSpec("any", "int8", None)), (), None)
    *known, unknown = model_metadata(ServedModel("m", {}), servable)["inputs"]
    assert {tensor["name"]: tensor["datatype"] for tensor in known} == {
        "float16": "FP16", "bfloat16": "BF16", "float32": "FP32", "float64": "FP64",
        "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
        "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
        "bool": "BOOL", "string": "BYTES",
    }  # fmt: skip
    assert all(tensor["shape"] == [] for tensor in known)
    assert unknown == {"name": "any", "datatype": "INT8", "shape": [-1], "unknown_rank": True}


@pytest.mark.parametrize(
    ("engine", "platform"), [("onnxruntime 1.32.0", "onnxruntime_onnx"), ("openvino 2026.1", "openvino")]
)
async def test_the_platform_is_the_engines(engine: str, platform: str, make_servable: MakeServable) -> None:
    servable = make_servable()
    servable.identity = Identity("m", "1.0.0", "fp32", engine)
    assert model_metadata(ServedModel("m", {}), servable)["platform"] == platform
