"""Which TensorRT is there. How the two differ is known here and nowhere else.

`tensorrt` is the whole library. It needs a device even to read a model: without one its objects are null, and the next
call on them ends the process. So `engines.tensorrt.device.count` is asked before anything here.
`tensorrt_rtx` reads models and builds plans without a device; the plans run on RTX cards. Both share their names.
"""

import re
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from engines.errors import LoadError

WHOLE = "tensorrt"
RTX = "tensorrt_rtx"

# `[checkMacros.cpp::catchCudaError::250] ` before what is said, and `. In enqueueV3 at /_src/a.cpp:12` behind it
_PLACE = re.compile(r"^\[\S+\] |[. ]*\bIn \S+ at \S+:\d+ ?")


@dataclass(frozen=True, slots=True)
class Module:
    """An imported module: its name, its version (`11.4.0.106`), and itself."""

    name: str
    version: str
    api: Any


def installed() -> tuple[str, ...]:
    """Names of the modules that this Python could import, the better one first; none of them is imported."""
    return tuple(name for name in (WHOLE, RTX) if find_spec(name) is not None)


def load_module(*, has_device: bool) -> Module:
    """The best module that works here. Raises LoadError, saying what to install."""
    names = installed()
    if not has_device and WHOLE in names:
        names = tuple(name for name in names if name != WHOLE)
        if not names:
            raise LoadError("tensorrt works only where there is an NVIDIA GPU; without one, install tensorrt-rtx")
    if not names:
        raise LoadError(
            "neither tensorrt nor tensorrt_rtx is installed; docs/tensorrt.md says which one and from where"
        )
    try:
        api = import_module(names[0])
    except (ImportError, OSError) as error:
        raise LoadError(f"{names[0]} is installed but cannot be imported: {error}") from None
    return Module(names[0], api.__version__, api)


def listen(module: Module) -> Any:
    """A logger that keeps the lines of warnings and errors. It must outlive all that is made with it."""

    logger: Any = module.api.ILogger

    class Log(logger):  # type: ignore[misc]  # the module brings no types
        """Called from the library's own threads, so it only appends."""

        def __init__(self) -> None:
            super().__init__()
            self.lines: list[str] = []
            """Of warnings and errors, in order."""
            self.errors: list[str] = []
            """Of errors alone."""

        def log(self, severity: Any, line: str) -> None:
            if severity <= logger.WARNING:
                self.lines.append(line)
            if severity <= logger.ERROR:
                self.errors.append(line)

    return Log()


def taken_words(log: Any) -> str:
    """What a log holds of errors, the last three, without places in the library's source. It is empty then."""
    lines = list(dict.fromkeys(_PLACE.sub("", line).strip() for line in log.errors))[-3:]
    log.lines.clear()
    log.errors.clear()
    return "; ".join(lines)


def network_flags(module: Module) -> int:
    """For `create_network`: types come from the ONNX. Version 11 knows nothing else, 10 must be told."""
    return 1 << int(module.api.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def build_flags(module: Module) -> list[Any]:
    """Further flags of a build. RTX captures CUDA graphs only of plans that leave their memory to the user."""
    flag = getattr(module.api.BuilderFlag, "REQUIRE_USER_ALLOCATION", None)
    return [] if flag is None else [flag]


def keeps_timings(module: Module) -> bool:
    """Whether a build learns the times of kernels for the next one. RTX measures nothing: it compiles when it runs."""
    return module.name != RTX


def new_context(module: Module, engine: Any) -> Any:
    """An execution context that has no memory to work in before `set_device_memory`, or None where it fails.

    RTX compiles its kernels now, not while it runs; and only with memory that is given to it can it be captured.
    """
    given = module.api.ExecutionContextAllocationStrategy.USER_MANAGED
    if module.name == RTX:
        config = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(given)
        eager = module.api.DynamicShapesKernelSpecializationStrategy.EAGER
        config.dynamic_shapes_kernel_specialization_strategy = eager
        context = engine.create_execution_context(config)
    else:
        context = engine.create_execution_context(given)
    if context is not None:
        context.nvtx_verbosity = module.api.ProfilingVerbosity.NONE  # marks for a profiler slow every run down
    return context
