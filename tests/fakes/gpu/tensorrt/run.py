"""Loads plans of the fake and runs them on the streams of the fake CUDA runtime."""

import ctypes
import threading
from typing import Any

import numpy as np
import onnxruntime
from cuda.bindings import runtime as cuda

from engines.engine import Array
from engines.onnx_signature import signature_of
from engines.onnxruntime_engine import OnnxRuntimeEngine
from engines.signature import NUMPY_DTYPES
from tensorrt.enums import (
    DataType,
    DynamicShapesKernelSpecializationStrategy,
    ExecutionContextAllocationStrategy,
    ILogger,
    ProfilingVerbosity,
    TensorIOMode,
)
from tensorrt.faults import faults
from tensorrt.plan import Plan, Shape

_WORK_BYTES = 4096
_DTYPES = {
    DataType.FLOAT: "float32",
    DataType.HALF: "float16",
    DataType.BF16: "bfloat16",
    DataType.INT8: "int8",
    DataType.INT32: "int32",
    DataType.INT64: "int64",
    DataType.UINT8: "uint8",
    DataType.BOOL: "bool",
}


def dtype_of(kind: DataType) -> np.dtype[Any]:
    return NUMPY_DTYPES[_DTYPES[kind]]


def _rows(shapes: dict[str, Shape]) -> int:
    """Of a batch; 1 for a model that has none."""
    return next((shape[0] for shape in shapes.values() if shape), 1)


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        assert cuda.device.asked, "nobody counted the devices first: without one, the process would end here"
        assert not cuda.device.answer, "there is no device: the process would end here"
        self.logger = logger

    def deserialize_cuda_engine(self, plan: bytes) -> "ICudaEngine | None":
        read = None if "plan" in faults else Plan.read(plan)
        if read is None:
            self.logger.log(ILogger.ERROR, "Serialization assertion stdVersionRead == kSERIALIZATION_VERSION failed.")
            return None
        return ICudaEngine(self.logger, read)


class ICudaEngine:
    device_memory_size_v2 = _WORK_BYTES
    num_layers = 1
    num_aux_streams = 0
    num_optimization_profiles = 1

    def __init__(self, logger: ILogger, plan: Plan) -> None:
        self.logger, self.plan = logger, plan
        self.names = [*plan.inputs(), *plan.outputs()]
        self.num_io_tensors = len(self.names)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(plan.model.SerializeToString(), options, ["CPUExecutionProvider"])
        self.runner = OnnxRuntimeEngine(signature_of(plan.model.graph), [session]).runner()

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.plan.inputs() else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return self.plan.type(name)

    def get_tensor_shape(self, name: str) -> Shape:
        return self.plan.shape(name)

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[Shape]:
        if "surprise" in faults:
            raise TypeError("incompatible function arguments")
        return self.plan.profile.get(name, [self.plan.shape(name)] * 3)

    def is_shape_inference_io(self, name: str) -> bool:
        return self.plan.decides_shapes(name)

    def create_runtime_config(self) -> "IRuntimeConfig":
        return IRuntimeConfig()

    def create_execution_context(
        self, how: "ExecutionContextAllocationStrategy | IRuntimeConfig"
    ) -> "IExecutionContext | None":
        if "context" in faults:
            self.logger.log(ILogger.ERROR, "createExecutionContext: out of memory")
            return None
        strategy = how
        if isinstance(how, IRuntimeConfig):
            strategy = how.strategy
            assert how.dynamic_shapes_kernel_specialization_strategy == DynamicShapesKernelSpecializationStrategy.EAGER
        assert strategy == ExecutionContextAllocationStrategy.USER_MANAGED
        return IExecutionContext(self)


class IRuntimeConfig:
    """Of TensorRT-RTX alone is what it says of kernels."""

    dynamic_shapes_kernel_specialization_strategy = DynamicShapesKernelSpecializationStrategy.LAZY

    def __init__(self) -> None:
        self.strategy = ExecutionContextAllocationStrategy.STATIC

    def set_execution_context_allocation_strategy(self, strategy: ExecutionContextAllocationStrategy) -> None:
        self.strategy = strategy


class IExecutionContext:
    nvtx_verbosity = ProfilingVerbosity.DETAILED

    def __init__(self, engine: ICudaEngine) -> None:
        self.engine = engine
        self._shapes: dict[str, Shape] = {}
        self._addresses: dict[str, int] = {}
        self._work: tuple[int, int] | None = None
        self._busy = threading.Lock()

    def set_device_memory(self, memory: int, size: int) -> None:
        self._work = (memory, size)

    def set_input_shape(self, name: str, shape: Shape) -> bool:
        least, _, most = self.engine.get_tensor_profile_shape(name, 0)
        fits = len(least) == len(shape) and all(a <= b <= c for a, b, c in zip(least, shape, most, strict=True))
        if not fits:
            return self._refuse(f"IExecutionContext::setInputShape: {name} {shape} is not in {least} to {most}")
        self._shapes[name] = tuple(shape)
        return True

    def infer_shapes(self) -> list[str]:
        missing = [name for name in self.engine.plan.inputs() if name not in self._shapes]
        if not missing:
            self.engine.plan.output_shapes(self._shapes)
        return missing

    def get_tensor_shape(self, name: str) -> Shape:
        return self._shapes.get(name) or self.engine.plan.output_shapes(self._shapes)[name]

    def get_max_output_size(self, name: str) -> int:
        most = {one: self.engine.get_tensor_profile_shape(one, 0)[2] for one in self.engine.plan.inputs()}
        try:
            shape = self.engine.plan.output_shapes(most)[name]
        except RuntimeError:  # the largest shapes of two inputs need not fit
            shape = (0,)
        return -1 if -1 in shape else int(np.prod(shape)) * dtype_of(self.engine.plan.type(name)).itemsize

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        if "run" in faults:
            return self._refuse("enqueueV3: Error Code 1: Cuda Runtime (out of memory)")
        if self._work is None or self._addresses.keys() != set(self.engine.names):
            return self._refuse("enqueueV3: an address or the memory to work in is missing")
        captured = cuda.capturing(stream_handle)
        if captured and "capture" in faults:
            return self._refuse(
                "enqueueV3: Error Code 1: Cuda Runtime (operation not permitted when stream is capturing)"
            )
        shapes, spoils = dict(self._shapes), captured and "graph" in faults
        return not cuda.enqueue(stream_handle, lambda: self._kernel(shapes, spoils=spoils))

    def _kernel(self, shapes: dict[str, Shape], *, spoils: bool) -> None:
        assert self._busy.acquire(blocking=False), "two runs of one context at once"
        assert self._work is not None
        cuda.block(cuda.device.memory, *self._work)
        try:
            cuda.note(f"kernel {_rows(shapes)}")
            for name, array in self._answer(shapes).items():
                if spoils and array.dtype.kind == "f":
                    array = array + 1  # noqa: PLW2901
                self._memory(name, array.nbytes)[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        finally:
            self._busy.release()

    def _answer(self, shapes: dict[str, Shape]) -> dict[str, Array]:
        plan = self.engine.plan
        sent = {name: self._read(name, shape) for name, shape in shapes.items()}
        try:
            answer = self.engine.runner.run(sent)
        except Exception:  # noqa: BLE001  kernels refuse nothing
            answer = {
                name: np.zeros(shape, dtype_of(plan.type(name))) for name, shape in plan.output_shapes(shapes).items()
            }
        if "nan" in faults:
            answer = {name: np.full_like(array, np.nan) for name, array in answer.items()}
        if f"mixed {_rows(shapes)}" in faults:
            answer = {name: np.roll(array, 1, 0) for name, array in answer.items()}
        return answer

    def _read(self, name: str, shape: Shape) -> Array:
        dtype = dtype_of(self.engine.plan.type(name))
        size_bytes = int(np.prod(shape)) * dtype.itemsize
        return self._memory(name, size_bytes).copy().view(dtype).reshape(shape)

    def _memory(self, name: str, size_bytes: int) -> Array:
        address = cuda.block(cuda.device.memory, self._addresses[name], size_bytes)
        return np.ctypeslib.as_array((ctypes.c_ubyte * size_bytes).from_address(address))

    def _refuse(self, words: str) -> bool:
        self.engine.logger.log(ILogger.ERROR, words)
        return False
