"""ONNX Runtime on an NVIDIA GPU: for what TensorRT does not take, and where it is not installed.

It takes any ONNX file and builds nothing. What CUDA has no kernel for, it runs on the processor.
"""

from pathlib import Path

import onnxruntime

from engines.engine import Array, Arrays, Runner
from engines.errors import LoadError, ModelFileError
from engines.index_bounds import index_bounds, refuse_indices
from engines.onnx_file import parse_onnx
from engines.onnxruntime_engine import OnnxRuntimeEngine, open_session
from engines.signature import Signature

_CUDA = "CUDAExecutionProvider"
_OPTIONS = {
    "device_id": "0",
    "use_tf32": "0",  # FP32 is what the file says
    "cudnn_conv_algo_search": "HEURISTIC",  # the other way tries them all, anew at every batch size
    "arena_extend_strategy": "kSameAsRequested",  # by doubling it would take memory from the other models
}


def load(
    path: Path,
    signature: Signature,
    *,
    instances: int,
    threads: int,  # noqa: ARG001  an engine on a processor has them
) -> "OnnxRuntimeCudaEngine":
    """Open an ONNX file for `instances` workers, which share a session. `threads` means nothing here.

    Raises LoadError, also where the session would have run on the processor: that is another engine.
    """
    refuse_without_cuda()
    onnxruntime.preload_dlls()  # CUDA's libraries from their own packages, where they are installed so
    session = open_session(path, 1, [(_CUDA, _OPTIONS), "CPUExecutionProvider"])
    found = session.get_providers()[0]
    if found != _CUDA:
        raise LoadError(
            f"ONNX Runtime gave {found} where CUDA was asked for: there is no GPU, or CUDA's and cuDNN's libraries do "
            "not load; `python -c 'import onnxruntime; onnxruntime.print_debug_info()'` says which are missing"
        )
    try:
        bounds = index_bounds(parse_onnx(path))
    except ModelFileError as error:
        raise LoadError(str(error)) from None
    return OnnxRuntimeCudaEngine(OnnxRuntimeEngine(signature, [session] * instances), bounds)


def refuse_without_cuda() -> None:
    """Raises LoadError where the ONNX Runtime that is installed was built without CUDA."""
    if _CUDA not in onnxruntime.get_available_providers():
        raise LoadError(
            f"this ONNX Runtime has no CUDA, only {', '.join(onnxruntime.get_available_providers())}; install "
            "onnxruntime-gpu in place of onnxruntime"
        )


class OnnxRuntimeCudaEngine:
    """A loaded model; see `engines.engine.Engine`."""

    name: str = f"onnxruntime-cuda {onnxruntime.__version__}"
    max_rows: int | None = None

    def __init__(self, engine: OnnxRuntimeEngine, bounds: dict[str, int]) -> None:
        """`bounds` are those of `index_bounds`."""
        self.signature = engine.signature
        self._engine = engine
        self._bounds = bounds

    def runner(self) -> Runner:
        """A runner on the session that all share."""
        return _CheckedRunner(self._engine.runner(), self._bounds)

    def close(self) -> None:
        """Let go of the session; the last runner frees it."""
        self._engine.close()


class _CheckedRunner:
    """CUDA's Gather answers zeros to an index beyond its table, where the processor's refuses it."""

    def __init__(self, runner: Runner, bounds: dict[str, int]) -> None:
        self._runner = runner
        self._bounds = bounds

    def run(self, inputs: Arrays) -> dict[str, Array]:
        refuse_indices(inputs, self._bounds)
        return self._runner.run(inputs)
