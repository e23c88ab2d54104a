"""The models that clients are tried on, and what ONNX Runtime itself answers for them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from onnx import ModelProto

from tests.graphs import doubling, identity, model, node, operator, value
from tests.service.networks import pair

Array = np.ndarray[Any, Any]

DATATYPES = {
    "BOOL": "bool",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "string",
}
"""V2 datatype -> dtype of a signature; the model `same_{dtype}` gives back two values of it a row."""


def half_plus(number: int) -> ModelProto:
    """`y = x / 2 + number`, one number a row: the models of TensorFlow Serving's documentation."""
    nodes = [node("Mul", ["x", "half"], ["halved"]), node("Add", ["halved", "number"], ["y"])]
    weights = {"half": np.array(0.5, np.float32), "number": np.array(number, np.float32)}
    return model(nodes, [value("x", shape=["N"])], [value("y", shape=["N"])], weights)


SERVED: dict[str, ModelProto] = {
    "double": doubling(),
    "measured": doubling(),  # perf_analyzer's alone: none of its requests fails
    "pair": pair(("N", 3)),
    "not": operator("Not", "bool"),
    "size": operator("Abs", shape=("N", "length")),
    "turned": operator("Neg", shape=(3,)),  # has no batch axis
    "words": identity("string", ("N",)),
    "shelved": doubling(),
    "half_plus_two": half_plus(2),
    **{f"same_{dtype}": identity(dtype, ("N", 2)) for dtype in (*DATATYPES.values(), "bfloat16")},
}


def expected(name: str, **inputs: Array) -> dict[str, Array]:
    """The outputs of the model, from ONNX Runtime in this process."""
    session = onnxruntime.InferenceSession(SERVED[name].SerializeToString())
    outputs = session.run(None, dict(inputs))
    return dict(zip((output.name for output in session.get_outputs()), outputs, strict=True))


def assert_same(given: Mapping[str, Array], wanted: Mapping[str, Array]) -> None:
    """Names, dtypes, shapes and every value."""
    assert given.keys() == wanted.keys()
    for name, array in wanted.items():
        assert given[name].dtype == array.dtype
        np.testing.assert_array_equal(given[name], array)
