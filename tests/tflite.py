"""Small .tflite files, made in code from the ONNX models of `tests.graphs`: LiteRT reads no ONNX."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from onnx import ModelProto, NodeProto, ValueInfoProto, helper, numpy_helper

from engines.signature import NUMPY_DTYPES

Array = np.ndarray[Any, Any]
Code = schema.BuiltinOperator

TYPES: dict[str, int] = {dtype: getattr(schema.TensorType, dtype.upper()) for dtype in NUMPY_DTYPES}
"""Signature dtype -> TensorType."""
_OPTIONS = schema.BuiltinOptions
_VERSIONS = {Code.BROADCAST_TO: 2}  # operators of which LiteRT runs no older one


@dataclass(frozen=True)
class Quantized:
    """How an input or output is kept as integers: `value = scale * (integer - zero_point)`."""

    dtype: str
    scale: float
    zero_point: int


def tflite(
    functions: Mapping[str, ModelProto],
    *,
    sizes: Mapping[str, Mapping[str, int]] | None = None,
    quantized: Mapping[str, Quantized] | None = None,
    stored_as: Mapping[str, str] | None = None,
    subgraph_of: Mapping[str, int] | None = None,
) -> bytes:
    """One file with a signature for each model; a model under the name "" gets none.

    `sizes` fixes named dimensions, by signature; the others stay dynamic. `quantized` and `stored_as` give inputs and
    outputs another dtype than the model's, the latter without a scale. `subgraph_of` lets a function claim another one.
    """
    file = schema.ModelT(version=3, operatorCodes=[], subgraphs=[], buffers=[schema.BufferT()], signatureDefs=[])
    for index, (name, model) in enumerate(functions.items()):
        graph = _Graph(file, (sizes or {}).get(name, {}), quantized or {}, stored_as or {})
        graph.add(model)
        file.subgraphs.append(graph.made)
        if name:
            file.signatureDefs.append(graph.signature(name, (subgraph_of or {}).get(name, index)))
    builder = flatbuffers.Builder()
    builder.Finish(file.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@dataclass
class _Graph:
    """One subgraph in the making."""

    file: Any
    sizes: Mapping[str, int]
    quantized: Mapping[str, Quantized]
    stored_as: Mapping[str, str]
    made: Any = field(default_factory=lambda: schema.SubGraphT(tensors=[], inputs=[], outputs=[], operators=[]))
    known: dict[str, int] = field(default_factory=dict)
    """ONNX name -> tensor that holds the value."""
    ends: dict[str, int] = field(default_factory=dict)
    """ONNX name of an input or output -> tensor that the caller sees."""

    def add(self, model: ModelProto) -> None:
        for tensor in model.graph.initializer:
            self.known[tensor.name] = self.constant(numpy_helper.to_array(tensor))
        dtypes = {one.name: _dtype(one.type.tensor_type.elem_type) for one in model.graph.output}
        for one in model.graph.input:
            self.made.inputs.append(self._input(one))
        for step in model.graph.node:
            getattr(self, f"_{step.op_type.lower()}")(step, dtypes.get(step.output[0], "float32"))
        for one in model.graph.output:
            self.made.outputs.append(self._output(one))

    def signature(self, name: str, index: int) -> Any:
        def maps(indices: Sequence[int]) -> list[Any]:
            names = {tensor: name for name, tensor in self.ends.items()}
            return [schema.TensorMapT(names[tensor], tensor) for tensor in indices]

        return schema.SignatureDefT(maps(self.made.inputs), maps(self.made.outputs), name, index)

    def tensor(self, name: str, dtype: str, shape: Sequence[int], buffer: int = 0, **more: Any) -> int:
        fixed = [1 if size < 0 else size for size in shape]
        signature = list(shape) if -1 in shape else None
        made = schema.TensorT(fixed, TYPES[dtype], buffer, name, shapeSignature=signature, hasRank=True, **more)
        self.made.tensors.append(made)
        return len(self.made.tensors) - 1

    def constant(self, array: Array) -> int:
        self.file.buffers.append(schema.BufferT(np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)))
        dtype = next(name for name, one in NUMPY_DTYPES.items() if one == array.dtype)
        return self.tensor("constant", dtype, array.shape, len(self.file.buffers) - 1)

    def operator(
        self, code: int, inputs: Sequence[int], outputs: Sequence[int], kind: str = "", **options: Any
    ) -> None:
        """`kind` names the options' class without `Options`; their keys are the schema's."""
        version = _VERSIONS.get(code, 1)
        self.file.operatorCodes.append(schema.OperatorCodeT(min(code, 127), None, version, code))
        made = schema.OperatorT(len(self.file.operatorCodes) - 1, inputs, outputs)
        if kind:
            made.builtinOptionsType = getattr(_OPTIONS, f"{kind}Options")
            made.builtinOptions = getattr(schema, f"{kind}OptionsT")()
            for key, value in options.items():
                setattr(made.builtinOptions, key, value)
        self.made.operators.append(made)

    def _shape(self, one: ValueInfoProto) -> list[int]:
        dims = one.type.tensor_type.shape.dim
        return [self.sizes.get(dim.dim_param, -1) if not dim.HasField("dim_value") else dim.dim_value for dim in dims]

    def _end(self, one: ValueInfoProto) -> tuple[int, bool]:
        """The tensor that the caller sees, and whether it is quantized."""
        dtype, name = _dtype(one.type.tensor_type.elem_type), one.name
        if name in self.quantized:
            how = self.quantized[name]
            kept = schema.QuantizationParametersT(scale=[how.scale], zeroPoint=[how.zero_point])
            self.ends[name] = self.tensor(name, how.dtype, self._shape(one), quantization=kept)
        else:
            self.ends[name] = self.tensor(name, self.stored_as.get(name, dtype), self._shape(one))
        return self.ends[name], name in self.quantized

    def _input(self, one: ValueInfoProto) -> int:
        end, is_quantized = self._end(one)
        self.known[one.name] = end
        if is_quantized:
            self.known[one.name] = self.tensor("", "float32", self._shape(one))
            self.operator(Code.DEQUANTIZE, [end], [self.known[one.name]])
        return end

    def _output(self, one: ValueInfoProto) -> int:
        held = self.known[one.name]
        end, is_quantized = self._end(one)
        self.made.tensors[held].shape = self.made.tensors[end].shape
        self.made.tensors[held].shapeSignature = self.made.tensors[end].shapeSignature
        if is_quantized:
            self.operator(Code.QUANTIZE, [held], [end])
        else:
            self._cast_to(held, end)
        return end

    def _cast_to(self, held: int, end: int) -> None:
        types = self.made.tensors[held].type, self.made.tensors[end].type
        self.operator(Code.CAST, [held], [end], "Cast", inDataType=types[0], outDataType=types[1])

    def _new(self, step: NodeProto, dtype: str) -> int:
        like = self.made.tensors[self.known[step.input[0]]] if step.input[0] in self.known else None
        shape = (like.shapeSignature or like.shape) if like is not None else []
        self.known[step.output[0]] = self.tensor("", dtype, list(shape))
        return self.known[step.output[0]]

    def _inputs(self, step: NodeProto) -> list[int]:
        return [self.known[name] for name in step.input]

    def _identity(self, step: NodeProto, dtype: str) -> None:
        self.known[step.output[0]] = self.known[step.input[0]]

    def _cast(self, step: NodeProto, dtype: str) -> None:
        to = _dtype(helper.get_attribute_value(step.attribute[0]))
        held = self.known[step.input[0]]
        self._cast_to(held, self._new(step, to))

    def _add(self, step: NodeProto, dtype: str) -> None:
        self.operator(Code.ADD, self._inputs(step), [self._new(step, dtype)], "Add")

    def _mul(self, step: NodeProto, dtype: str) -> None:
        self.operator(Code.MUL, self._inputs(step), [self._new(step, dtype)], "Mul")

    def _sin(self, step: NodeProto, dtype: str) -> None:
        self.operator(Code.SIN, self._inputs(step), [self._new(step, dtype)])

    def _relu(self, step: NodeProto, dtype: str) -> None:
        self.operator(Code.RELU, self._inputs(step), [self._new(step, dtype)])

    def _matmul(self, step: NodeProto, dtype: str) -> None:
        self.operator(Code.BATCH_MATMUL, self._inputs(step), [self._new(step, dtype)], "BatchMatMul")

    def _gather(self, step: NodeProto, dtype: str) -> None:
        self.operator(Code.GATHER, self._inputs(step), [self._new(step, dtype)], "Gather")

    def _expand(self, step: NodeProto, dtype: str) -> None:
        self.operator(Code.BROADCAST_TO, self._inputs(step), [self._new(step, dtype)], "BroadcastTo")

    def _accumulate(self, step: NodeProto, dtype: str) -> None:
        """No operator of ONNX: a [1,1,1] input, and the output is the sum of all that came in since the state was 0."""
        one, none = self.constant(np.ones((1, 1), np.float32)), self.constant(np.zeros(1, np.float32))
        inputs = [*self._inputs(step), one, one, none, self.tensor("state", "float32", [1, 1], isVariable=True)]
        options = {"timeMajor": False, "fusedActivationFunction": 0}
        self.operator(Code.UNIDIRECTIONAL_SEQUENCE_RNN, inputs, [self._new(step, dtype)], "SequenceRNN", **options)

    def _nonzero(self, step: NodeProto, dtype: str) -> None:
        where = self.tensor("", "int64", [-1, 1])
        self.operator(Code.WHERE, self._inputs(step), [where], "Where")
        order = self.constant(np.array([1, 0], np.int32))
        self.known[step.output[0]] = self.tensor("", "int64", [1, -1])
        self.operator(Code.TRANSPOSE, [where, order], [self.known[step.output[0]]], "Transpose")


def _dtype(element: int) -> str:
    numpy_dtype = helper.tensor_dtype_to_np_dtype(element)
    return next(name for name, one in NUMPY_DTYPES.items() if one == numpy_dtype)
