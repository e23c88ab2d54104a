"""A plan's inputs and outputs, held against the signature that the model was published with."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from engines.errors import LoadError
from engines.signature import NUMPY_DTYPES, Signature, TensorSpec
from engines.tensorrt.module import Module
from engines.tensorrt.profile import Shapes

DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "bfloat16",
    "INT8": "int8",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "BOOL": "bool",
}
"""What TensorRT takes and gives: its name -> the signature's. `nptype` of the module itself raises on BF16."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Inputs and outputs in the signature's order, with their dtypes."""

    inputs: dict[str, np.dtype[Any]]
    outputs: dict[str, np.dtype[Any]]
    shapes: dict[str, Shapes]
    """Of the inputs: what the plan was built for."""


def read_ports(module: Module, engine: Any, signature: Signature) -> Ports:
    """What the plan has. Raises LoadError where the signature says something else.

    TensorRT's own word on dtypes counts: it narrows what it does not have without saying so.
    """
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    taken = {name for name in names if engine.get_tensor_mode(name) == module.api.TensorIOMode.INPUT}
    for kind, specs, found in (
        ("inputs", signature.inputs, taken),
        ("outputs", signature.outputs, set(names) - taken),
    ):
        if {spec.name for spec in specs} != found:
            raise LoadError(f"the plan's {kind} are {sorted(found)}, its signature says {[s.name for s in specs]}")
    return Ports(
        {spec.name: _dtype(engine, spec) for spec in signature.inputs},
        {spec.name: _dtype(engine, spec) for spec in signature.outputs},
        {spec.name: _shapes(engine, spec) for spec in signature.inputs},
    )


def _shapes(engine: Any, spec: TensorSpec) -> Shapes:
    if engine.is_shape_inference_io(spec.name):
        raise LoadError(
            f"the values of input '{spec.name}' decide shapes, for which no memory can be held ready; serve this model "
            "with onnxruntime"
        )
    fixed = tuple(engine.get_tensor_shape(spec.name))
    if -1 not in fixed:
        return fixed, fixed, fixed
    least, usual, most = (tuple(shape) for shape in engine.get_tensor_profile_shape(spec.name, 0))
    return least, usual, most


def _dtype(engine: Any, spec: TensorSpec) -> np.dtype[Any]:
    found = engine.get_tensor_dtype(spec.name).name
    if DTYPES.get(found) != spec.dtype:
        raise LoadError(
            f"'{spec.name}' of the plan is {DTYPES.get(found, found)}, its signature says {spec.dtype}; serve this "
            "model with onnxruntime"
        )
    return NUMPY_DTYPES[spec.dtype]
