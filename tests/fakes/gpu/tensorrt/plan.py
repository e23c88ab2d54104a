"""What a plan of the fake is: a head, and the ONNX file with all of its weights."""

import json
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, shape_inference

from tensorrt.enums import DataType

_HEAD = b"A PLAN OF THE FAKE TENSORRT\n"
TYPES = {
    TensorProto.FLOAT: DataType.FLOAT,
    TensorProto.DOUBLE: DataType.FLOAT,  # narrowed without a word, as the library does
    TensorProto.FLOAT16: DataType.HALF,
    TensorProto.BFLOAT16: DataType.BF16,
    TensorProto.INT8: DataType.INT8,
    TensorProto.INT32: DataType.INT32,
    TensorProto.INT64: DataType.INT64,
    TensorProto.UINT8: DataType.UINT8,
    TensorProto.BOOL: DataType.BOOL,
}
# Operator -> its inputs whose values decide shapes.
_SHAPE_INPUTS = {"Reshape": (1,), "Expand": (1,), "Tile": (1,), "ConstantOfShape": (0,), "Range": (0, 1, 2)}
_LARGE = 64

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    model: ModelProto
    profile: dict[str, list[Shape]]
    """Of every dynamic input: least, usual, most."""

    def write(self) -> bytes:
        return _HEAD + json.dumps(self.profile).encode() + b"\n" + self.model.SerializeToString()

    @staticmethod
    def read(plan: bytes) -> "Plan | None":
        if not plan.startswith(_HEAD):
            return None
        profile, _, model = plan.removeprefix(_HEAD).partition(b"\n")
        shapes = {name: [tuple(shape) for shape in three] for name, three in json.loads(profile).items()}
        return Plan(onnx.load_from_string(model), shapes)

    def inputs(self) -> list[str]:
        held = {tensor.name for tensor in self.model.graph.initializer}
        return [value.name for value in self.model.graph.input if value.name not in held]

    def outputs(self) -> list[str]:
        return [value.name for value in self.model.graph.output]

    def shape(self, name: str) -> Shape:
        value = next(one for one in (*self.model.graph.input, *self.model.graph.output) if one.name == name)
        dims = value.type.tensor_type.shape.dim
        return tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in dims)

    def type(self, name: str) -> DataType:
        value = next(one for one in (*self.model.graph.input, *self.model.graph.output) if one.name == name)
        return TYPES[value.type.tensor_type.elem_type]

    def decides_shapes(self, name: str) -> bool:
        return any(
            name in [node.input[index] for index in _SHAPE_INPUTS.get(node.op_type, ()) if index < len(node.input)]
            for node in self.model.graph.node
        )

    def output_shapes(self, given: dict[str, Shape]) -> dict[str, Shape]:
        """Of every output; -1 is a dimension that values decide. Raises RuntimeError for shapes that do not fit."""
        inputs = [self._reshaped(name, shape) for name, shape in given.items()]
        small, large = [], []
        for tensor in self.model.graph.initializer:
            (large if np.prod(tensor.dims, dtype=np.int64) > _LARGE else small).append(tensor)
        inputs += [helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in large]
        outputs = [helper.make_tensor_value_info(name, self._onnx_type(name), None) for name in self.outputs()]
        graph = helper.make_graph(self.model.graph.node, "fake", inputs, outputs, small)
        model = helper.make_model(graph, opset_imports=self.model.opset_import, ir_version=self.model.ir_version)
        try:
            inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        except shape_inference.InferenceError as error:
            raise RuntimeError(str(error)) from None
        return {
            value.name: tuple(
                dim.dim_value if dim.HasField("dim_value") else -1 for dim in value.type.tensor_type.shape.dim
            )
            for value in inferred.graph.output
        }

    def _onnx_type(self, name: str) -> int:
        value = next(one for one in (*self.model.graph.input, *self.model.graph.output) if one.name == name)
        return int(value.type.tensor_type.elem_type)

    def _reshaped(self, name: str, shape: Shape) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, self._onnx_type(name), shape)
