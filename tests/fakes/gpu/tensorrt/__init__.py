"""A fake TensorRT: its kernels are ONNX Runtime on the CPU, and its plans hold the ONNX file that they were made of.

It keeps the library's manners: it answers False or None instead of raising and says why in the log, its objects end
the process without a device (here: an AssertionError), it answers an index beyond its table with zeros. What the real
one would compute, and which models it takes, it cannot show.

`faults` is what tests break.
"""

from tensorrt.builder import (
    Builder,
    BuilderFlag,
    IBuilderConfig,
    INetworkDefinition,
    IOptimizationProfile,
    IProgressMonitor,
    ITimingCache,
    MemoryPoolType,
    NetworkDefinitionCreationFlag,
    OnnxParser,
)
from tensorrt.enums import (
    DataType,
    DynamicShapesKernelSpecializationStrategy,
    ExecutionContextAllocationStrategy,
    ILogger,
    ProfilingVerbosity,
    TensorIOMode,
)
from tensorrt.faults import faults
from tensorrt.run import ICudaEngine, IExecutionContext, IRuntimeConfig, Runtime

__version__ = "0.0.fake"

__all__ = [
    "Builder",
    "BuilderFlag",
    "DataType",
    "DynamicShapesKernelSpecializationStrategy",
    "ExecutionContextAllocationStrategy",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "IProgressMonitor",
    "IRuntimeConfig",
    "ITimingCache",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "OnnxParser",
    "ProfilingVerbosity",
    "Runtime",
    "TensorIOMode",
    "faults",
]
