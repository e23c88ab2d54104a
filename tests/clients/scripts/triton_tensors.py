"""What a test says of an inference request, as tritonclient's objects; its result, as a test reads it."""

from typing import Any

from lines import pack, unpack
from tritonclient.http import InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

Document = dict[str, Any]


def arguments(request: Document) -> Document:
    """The keywords of `infer`: `inputs` and `outputs` become objects, all else stays as it is."""
    made = {**request, "inputs": [_input(one) for one in request["inputs"]]}
    if "outputs" in request:
        made["outputs"] = [_output(one) for one in request["outputs"]]
    return made


def result(given: InferResult) -> Document:
    """The JSON part of the answer, and its tensors, but those in shared memory."""
    response = given.get_response()
    held = (one["name"] for one in response["outputs"] if "data" in one or "parameters" in one)
    return {"response": response, "outputs": {name: pack(given.as_numpy(name)) for name in held}}


def told(error: InferenceServerException) -> Document:
    """What a caller can read of a refusal."""
    return {"message": error.message(), "status": error.status()}


def _input(one: Document) -> InferInput:
    if "region" in one:
        made = InferInput(one["name"], one["shape"], one["datatype"])
        return made.set_shared_memory(one["region"], one["byte_size"], one.get("offset", 0))
    array = unpack(one["tensor"])
    made = InferInput(one["name"], list(array.shape), np_to_triton_dtype(array.dtype))
    made.set_data_from_numpy(array, one["binary"])
    return made.set_shape(one.get("shape", made.shape()))


def _output(one: Document) -> InferRequestedOutput:
    made = InferRequestedOutput(one["name"], one.get("binary", True), one.get("class_count", 0))
    if "region" in one:
        made.set_shared_memory(one["region"], one["byte_size"], one.get("offset", 0))
    return made
