"""Reads any ONNX file, and its plan is the file. What TensorRT refuses, TensorRT-RTX is asked in other tests."""

from enum import IntEnum
from threading import Event
from types import SimpleNamespace

import onnx
from cuda.bindings import runtime as cuda
from onnx import ModelProto

from tensorrt.enums import ILogger
from tensorrt.faults import faults
from tensorrt.plan import TYPES, Plan, Shape


class NetworkDefinitionCreationFlag(IntEnum):
    STRONGLY_TYPED = 1


class MemoryPoolType(IntEnum):
    WORKSPACE = 0


class BuilderFlag(IntEnum):
    TF32 = 7


class IProgressMonitor:
    """What a program derives its monitor from."""


class ITimingCache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> bytes:
        return self.content or b"timings of the fake"


class INetworkDefinition:
    def __init__(self) -> None:
        self.model = ModelProto()

    @property
    def num_layers(self) -> int:
        return len(self.model.graph.node)

    @property
    def num_inputs(self) -> int:
        return len(Plan(self.model, {}).inputs())

    def get_input(self, index: int) -> SimpleNamespace:
        plan = Plan(self.model, {})
        name = plan.inputs()[index]
        return SimpleNamespace(name=name, is_shape_tensor=plan.decides_shapes(name))

    def get_layer(self, index: int) -> SimpleNamespace:
        node = self.model.graph.node[index]
        output = SimpleNamespace(name=node.output[0])
        return SimpleNamespace(
            name=node.name,
            type=SimpleNamespace(name="ELEMENTWISE"),
            num_inputs=0,
            num_outputs=1,
            get_output=lambda _: output,
        )


class OnnxParser:
    num_errors = 0

    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network, self._logger = network, logger

    def parse_from_file(self, model: str) -> bool:
        self._network.model = onnx.load(model)
        for value in self._network.model.graph.input:
            if value.type.tensor_type.elem_type not in TYPES:
                self._logger.log(ILogger.ERROR, "In importInputs: a type is not supported")
                return False
        return True

    def get_error(self, index: int) -> None:
        raise IndexError(index)


class IOptimizationProfile:
    def __init__(self) -> None:
        self.shapes: dict[str, list[Shape]] = {}

    def set_shape(self, name: str, least: Shape, usual: Shape, most: Shape) -> None:
        self.shapes[name] = [least, usual, most]


class IBuilderConfig:
    builder_optimization_level = 3
    max_aux_streams = -1
    profiling_verbosity = 0
    progress_monitor: IProgressMonitor | None = None

    def __init__(self) -> None:
        self.profile: dict[str, list[Shape]] = {}
        self._timings = ITimingCache(b"")

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        pass

    def set_flag(self, flag: BuilderFlag) -> None:
        pass

    def clear_flag(self, flag: BuilderFlag) -> None:
        pass

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self.profile = profile.shapes
        return 0

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
        return ITimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        self._timings = cache
        return True

    def get_timing_cache(self) -> ITimingCache:
        return self._timings


class Builder:
    def __init__(self, logger: ILogger) -> None:
        if cuda.device.answer or not cuda.device.count:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self.logger = logger

    def create_network(self, flags: int) -> INetworkDefinition:
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> bytes | None:
        if "stuck" in faults:
            Event().wait()
        if "build" in faults:
            self.logger.log(ILogger.ERROR, "Error Code 10: no tactics for the fake within workspace limit")
            return None
        return Plan(network.model, config.profile).write()
