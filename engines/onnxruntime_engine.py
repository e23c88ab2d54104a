"""ONNX Runtime on the CPU."""

import ctypes
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from engines.engine import Array, Arrays, Runner
from engines.errors import InputRefused, LoadError, RunError
from engines.signature import NUMPY_DTYPES, Signature

_BFLOAT16 = 16  # TensorProto.BFLOAT16; numpy has no such type, so these tensors cross over as OrtValues
# Only what ends the process: every other failure is raised too, and a client's bad values shall not fill the log.
_ONLY_FATAL = 4

SLOWER_FUSIONS = ["SkipLayerNormFusion", "BiasGeluFusion"]
"""Left out, since their fused kernels are slower than what they replace.

SkipLayerNormalization takes ten times as long as an Add and a LayerNormalization (2.0 against 0.3 ms for [8,128,384]),
BiasGelu some 10 % longer than an Add and a Gelu. Without them a transformer's encoder is 1.09 times as fast in FP32 and
1.25 times in INT8 (ONNX Runtime 1.32.0, AVX-512).
"""

# What no other values would have mended: memory is short, or a GPU failed.
_NOT_THE_VALUES = re.compile(r"AllocateRaw|bad_alloc|[Aa]llocate memory|CU\w+ failure|CU\w+ error")
_STATUS = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
_FILE = re.compile(r"^Load model from .*? failed:")
_NODE = re.compile(r"Non-zero status code returned while running (\w+) node\. Name:'(.*?)' Status Message: ")
# `/src/onnxruntime/core/a.cc:12 void onnxruntime::F(int, G(*)(int)) ` or `a.h:12 F `
_SOURCE = re.compile(r"\S*/\S+:\d+ [\w:<>~,&*= ]*\((?:[^()]|\([^()]*\))*\)(?: const)? |\b[\w.]+\.(?:cc|h):\d+ \w+ ")


def load(path: Path, signature: Signature, *, instances: int, threads: int) -> "OnnxRuntimeEngine":
    """Open an ONNX file for `instances` workers of `threads` threads each. Raises LoadError.

    With one thread a worker, all workers share a session: it runs in the caller's thread, outside the
    interpreter's lock, and holds the weights once. With more, each has a session and so a thread pool of its own.
    """

    def session() -> onnxruntime.InferenceSession:
        return open_session(path, threads, ["CPUExecutionProvider"], left_out=SLOWER_FUSIONS)

    return OnnxRuntimeEngine(
        signature, [session()] * instances if threads == 1 else [session() for _ in range(instances)]
    )


def open_session(
    path: Path, threads: int, providers: Sequence[str | tuple[str, dict[str, str]]], left_out: Sequence[str] = ()
) -> onnxruntime.InferenceSession:
    """The file, run by the first of these providers that can; `left_out` are optimizers. Raises LoadError."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _ONLY_FATAL
    # Idle threads sleep. Spinning ones would take the cores from the event loop and from other models; to a lone
    # instance of two threads on two cores they are worth much while the machine is quiet and cost as much when it is
    # not (medians: a 2-million-weight MLP 329 us asleep, 167 us spinning; a 17-million one 9.7 ms, 15.8 ms).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(
            path,
            options,
            providers=providers,
            disabled_optimizers=left_out,
            enable_fallback=0,  # else it would go on with another provider, and only print so
        )
    except Exception as error:  # noqa: BLE001  ONNX Runtime's errors share no base class but Exception
        raise LoadError(f"ONNX Runtime cannot load the model: {_message(error)}") from None


class OnnxRuntimeEngine:
    """A loaded model; see `engines.engine.Engine`."""

    name: str = f"onnxruntime {onnxruntime.__version__}"
    max_rows: int | None = None

    def __init__(self, signature: Signature, sessions: list[onnxruntime.InferenceSession]) -> None:
        """`sessions` holds one for each runner, the same one where they share it. Raises LoadError."""
        _refuse_others(sessions[0], signature)
        self.signature = signature
        self._sessions = sessions
        dtypes = {spec.dtype for spec in signature.inputs}
        if "bfloat16" not in dtypes.union(spec.dtype for spec in signature.outputs):
            self._runner: type[_NumpyRunner | _OrtValueRunner] = _NumpyRunner
        elif "string" not in dtypes:
            self._runner = _OrtValueRunner
        else:
            raise LoadError(
                "ONNX Runtime takes no text into a model with bfloat16 inputs or outputs; put a Cast to float32 there"
            )

    def runner(self) -> Runner:
        """A runner on the next session that is free."""
        if not self._sessions:
            raise LoadError("all instances that the engine was opened with have their runner")
        return self._runner(self.signature, self._sessions.pop())

    def close(self) -> None:
        """Let go of the sessions; the last runner frees them."""
        self._sessions = []


def _refuse_others(session: onnxruntime.InferenceSession, signature: Signature) -> None:
    """Names must be the signature's."""
    for kind, wanted, found in (
        ("inputs", signature.inputs, session.get_inputs()),
        ("outputs", signature.outputs, session.get_outputs()),
    ):
        names = {tensor.name for tensor in found}
        if names != {spec.name for spec in wanted}:
            raise LoadError(f"the file's {kind} are {sorted(names)}, its signature says {[s.name for s in wanted]}")


class _NumpyRunner:
    """Runs on numpy arrays.

    By `InferenceSession.run`: 5.6 us for a [1,64] -> [1,10] network, against 40 us through OrtValues and 8.6 us through
    an IOBinding. An IOBinding that is kept takes 4.9 us, and keeps the caller's arrays.
    """

    def __init__(self, signature: Signature, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._outputs = [spec.name for spec in signature.outputs]

    def run(self, inputs: Arrays) -> dict[str, Array]:
        try:
            return dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True))
        except Exception as error:  # noqa: BLE001  see open_session
            raise _run_error(error) from None


class _OrtValueRunner:
    """Runs models with bfloat16 inputs or outputs."""

    def __init__(self, signature: Signature, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._outputs = [spec.name for spec in signature.outputs]

    def run(self, inputs: Arrays) -> dict[str, Array]:
        try:
            values = {name: _to_value(array) for name, array in inputs.items()}
            outputs = self._session.run_with_ort_values(self._outputs, values)
        except Exception as error:  # noqa: BLE001  see open_session
            raise _run_error(error) from None
        return {name: _to_array(value) for name, value in zip(self._outputs, outputs, strict=True)}


def _to_value(array: Array) -> onnxruntime.OrtValue:
    if array.dtype == NUMPY_DTYPES["bfloat16"]:
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), _BFLOAT16)
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


def _to_array(value: onnxruntime.OrtValue) -> Array:
    if value.element_type() != _BFLOAT16:
        array: Array = value.numpy()
        return array
    data = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return np.frombuffer(bytearray(data), NUMPY_DTYPES["bfloat16"]).reshape(value.shape())


def _run_error(error: Exception) -> InputRefused | RunError:
    """Who is at fault. What a node cannot do with what came, it could do with other input: it was tried at loading."""
    by_a_node = "while running" in str(error) and not _NOT_THE_VALUES.search(str(error))
    if by_a_node or isinstance(error, ort_errors.InvalidArgument | UnicodeEncodeError):  # half a surrogate pair
        return InputRefused(f"the model refused these values: {_message(error)}")
    return RunError(f"ONNX Runtime failed while running: {_message(error)}")


def _message(error: Exception) -> str:
    """ONNX Runtime's words without its status, and without the paths of the machine that it was built on."""
    text = _FILE.sub("", _STATUS.sub("", str(error)))
    return " ".join(_SOURCE.sub("", _NODE.sub(r"\1 node '\2': ", text)).split())
