"""OpenVINO on the CPU: its own IR (`.xml` with the `.bin` beside it), and ONNX files."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openvino
from openvino import CompiledModel, Core, InferRequest, Model, Tensor, Type

from engines.engine import Array, Arrays, Runner
from engines.errors import InputRefused, LoadError, RunError
from engines.openvino_inputs import InputCheck, openvino_message
from engines.signature import NUMPY_DTYPES, Signature

PRECISION = ["octet", "precision"]
"""Where an IR says, in its rt_info, that it is to be run in `bf16`. A file that says nothing runs in `f32`.

OpenVINO itself would run any FP32 model in BF16 on a CPU that has it, and say nothing.
"""

_NO_MEMORY = re.compile(r"bad_alloc|[Aa]llocat|memory|Cannot create tensor")


def load(path: Path, signature: Signature, *, instances: int, threads: int) -> "OpenVinoEngine":
    """Open an IR or an ONNX file for `instances` workers of `threads` threads each. Raises LoadError.

    All workers share one compiled model, and so its weights; each worker has a stream of it. One worker with all cores
    is what OpenVINO's latency hint sets, a worker a core its throughput hint.
    """
    _refuse_dtypes(signature)
    core = Core()
    try:
        model = core.read_model(path)
        compiled = core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": _precision(model),
                "INFERENCE_NUM_THREADS": instances * threads,
                "NUM_STREAMS": instances,
                # Pinned, the threads of every model that is served would keep to the same first cores.
                "ENABLE_CPU_PINNING": False,
            },
        )
    except RuntimeError as error:
        raise LoadError(f"OpenVINO cannot load the model: {openvino_message(error)}") from None
    _refuse_others(compiled, signature)
    return OpenVinoEngine(signature, compiled, InputCheck(model, signature), instances)


def _refuse_dtypes(signature: Signature) -> None:
    for dtype, why in (("string", "runs no text"), ("float64", "computes float64 in float32")):
        names = [spec.name for spec in (*signature.inputs, *signature.outputs) if spec.dtype == dtype]
        if names:
            raise LoadError(f"OpenVINO {why}, and {names} are {dtype}; serve this model with onnxruntime")


def _precision(model: Model) -> str:
    said = model.get_rt_info(PRECISION).astype(str) if model.has_rt_info(PRECISION) else "f32"
    if said not in ("f32", "bf16"):
        raise LoadError(f"the file's rt_info {'/'.join(PRECISION)} is {said!r}, expected f32 or bf16")
    return str(said)


def _refuse_others(compiled: CompiledModel, signature: Signature) -> None:
    """Names and dtypes must be the signature's."""
    for kind, wanted, found in (
        ("inputs", signature.inputs, compiled.inputs),
        ("outputs", signature.outputs, compiled.outputs),
    ):
        dtypes = {name: _dtype(port.get_element_type()) for port in found for name in port.get_names()}
        for spec in wanted:
            if spec.name not in dtypes:
                raise LoadError(
                    f"the file's {kind} are {sorted(dtypes)}, its signature says {[s.name for s in wanted]}"
                )
            if dtypes[spec.name] != spec.dtype:
                raise LoadError(f"'{spec.name}' of the file is {dtypes[spec.name]}, its signature says {spec.dtype}")
        if len(found) != len(wanted):
            raise LoadError(f"the file has {len(found)} {kind}, its signature {len(wanted)}")


def _dtype(element: Type) -> str:
    if element == Type.bf16:
        return "bfloat16"
    return "bool" if element == Type.boolean else str(np.dtype(element.to_dtype()))


class OpenVinoEngine:
    """A loaded model; see `engines.engine.Engine`."""

    name: str = f"openvino {openvino.__version__.partition('-')[0]}"
    max_rows: int | None = None

    def __init__(self, signature: Signature, compiled: CompiledModel, check: InputCheck, instances: int) -> None:
        """`check` sees every input before OpenVINO does."""
        self.signature = signature
        self._compiled: CompiledModel | None = compiled
        self._check = check
        self._free = instances

    def runner(self) -> Runner:
        """A runner with an infer request of its own."""
        if self._compiled is None or not self._free:
            raise LoadError("all instances that the engine was opened with have their runner")
        self._free -= 1
        return _OpenVinoRunner(self.signature, self._compiled, self._check)

    def close(self) -> None:
        """Let go of the model; the last runner frees it."""
        self._compiled = None


class _OpenVinoRunner:
    """Reads the caller's arrays where they lie, for the time of a run, and copies its answers.

    By `set_tensor`: handing OpenVINO a dictionary of arrays takes 60 us more. It is started and waited for: `infer` on
    a stream of one thread loses what goes wrong, out of memory too, and leaves the answers of the run before to be
    read.
    """

    def __init__(self, signature: Signature, compiled: CompiledModel, check: InputCheck) -> None:
        self._compiled = compiled
        self._names = [spec.name for spec in signature.inputs]
        self._outputs = [spec.name for spec in signature.outputs]
        self._check = check
        self._renew()

    def run(self, inputs: Arrays) -> dict[str, Array]:
        self._check.refuse(inputs)
        try:
            self._take({name: _tensor(array) for name, array in inputs.items()})
            self._request.start_async()
            self._request.wait()
            answers = {name: _copy_out(self._request.get_tensor(name)) for name in self._outputs}
        except (RuntimeError, ValueError, MemoryError) as error:
            self._renew()  # one that failed says so again whenever it runs
            raise _run_error(error) from None
        self._take(self._own)  # and lets go of the caller's
        return answers

    def _renew(self) -> None:
        self._request: InferRequest = self._compiled.create_infer_request()
        self._own = {name: self._request.get_tensor(name) for name in self._names}

    def _take(self, tensors: Mapping[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            self._request.set_tensor(name, tensor)


def _tensor(array: Array) -> Tensor:
    if array.dtype != NUMPY_DTYPES["bfloat16"]:
        return Tensor(array, shared_memory=array.flags.writeable)  # it shares none that cannot be written to
    tensor = Tensor(Type.bf16, array.shape)
    tensor.data.view(array.dtype)[...] = array
    return tensor


def _copy_out(tensor: Tensor) -> Array:
    copy: Array = tensor.data.copy()
    return copy.view(NUMPY_DTYPES["bfloat16"]) if tensor.element_type == Type.bf16 else copy


def _run_error(error: Exception) -> InputRefused | RunError:
    """Who is at fault. What a model cannot do with these shapes, it could do with others: it was tried at loading."""
    if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        return RunError(f"OpenVINO failed while running: {openvino_message(error)}")
    return InputRefused(f"the model refused these values: {openvino_message(error)}")
