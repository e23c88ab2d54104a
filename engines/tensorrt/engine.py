"""TensorRT on one GPU: a plan that all workers share, and a context for each."""

from pathlib import Path

import numpy as np

from engines.engine import Array, Arrays
from engines.errors import EngineError, InputRefused, LoadError, ModelFileError, RunError
from engines.index_bounds import index_bounds, refuse_indices
from engines.onnx_file import parse_onnx
from engines.signature import Signature
from engines.tensorrt.buckets import bucket_of, buckets
from engines.tensorrt.context import Context, Form
from engines.tensorrt.device import Cuda, CudaError, DeviceMemoryFull
from engines.tensorrt.module import Module, listen, load_module, taken_words
from engines.tensorrt.plans import Plan, Target
from engines.tensorrt.ports import Ports, read_ports
from engines.tensorrt.warm_up import warm_up


def load(
    path: Path,
    signature: Signature,
    *,
    instances: int,
    threads: int,  # noqa: ARG001  an engine on a processor has them
    plan: Plan,
    graphs: bool = True,
) -> "TensorRtEngine":
    """Open an ONNX file for `instances` workers, by the plan that was built of it for `target_here`.

    Runs on the first device; CUDA_VISIBLE_DEVICES says which one that is. `threads` means nothing here: a device has
    its own. Without `graphs` no CUDA graph is captured. Raises LoadError: no device, no TensorRT, a plan that it cannot
    read or load, a model that it does not run, too little memory.
    """
    try:
        cuda, module, _ = _here()
        bounds = index_bounds(parse_onnx(path))
        built = plan.path.read_bytes()
        return TensorRtEngine(signature, built, cuda, module, bounds, instances=instances, graphs=graphs)
    except (CudaError, ModelFileError) as error:
        raise LoadError(str(error)) from None
    except OSError as error:  # another process prunes
        raise LoadError(f"the plan {plan.path} cannot be read: {error.strerror}; load the model again") from None


def target_here() -> Target:
    """What a plan must be built by and for, for `load` to run it. Raises LoadError: no device, no TensorRT."""
    try:
        return _here()[-1]
    except CudaError as error:
        raise LoadError(str(error)) from None


def _here() -> tuple[Cuda, Module, Target]:
    cuda = Cuda()
    device = cuda.device()  # before TensorRT is touched: without a device its objects end the process
    module = load_module(has_device=True)
    return cuda, module, Target(module.name, module.version, device.name, device.sm, device.driver)


class TensorRtEngine:
    """A loaded plan; see `engines.engine.Engine`."""

    def __init__(
        self,
        signature: Signature,
        plan: bytes,
        cuda: Cuda,
        module: Module,
        bounds: dict[str, int],
        *,
        instances: int,
        graphs: bool,
    ) -> None:
        """All runners are made here. `bounds` are those of `index_bounds`.

        Raises LoadError: a plan of another version or device, a model that does not run, too little memory.
        """
        self.name = f"{module.name.replace('_', '-')} {module.version}"
        self.signature = signature
        self._log = listen(module)  # outlives the runtime, and that the plan
        self._runtime = module.api.Runtime(self._log)
        self._plan = self._runtime.deserialize_cuda_engine(plan)
        if self._plan is None:
            raise LoadError(f"{self.name} cannot load the plan: {taken_words(self._log) or 'it does not say why'}")
        ports = read_ports(module, self._plan, signature)
        sizes = _batch_sizes(ports, signature)
        self.max_rows: int | None = None if signature.batch_axis is None else sizes[-1]
        self._contexts: list[Context] = []
        self._runners: list[TensorRtRunner] = []
        try:
            for _ in range(instances):
                context = Context(cuda, module, self._plan, self._log, ports)
                self._contexts.append(context)
                forms = warm_up(context, ports, signature, sizes, graphs=graphs)
                self._runners.append(TensorRtRunner(context, signature, forms, bounds))
        except BaseException as error:
            self.close()
            if isinstance(error, EngineError):
                raise LoadError(f"{self.name} cannot run the model here: {_advised(error)}") from None
            raise

    def runner(self) -> "TensorRtRunner":
        """A runner with a context of its own, warm at every batch size."""
        if not self._runners:
            raise LoadError("all instances that the engine was opened with have their runner")
        return self._runners.pop()

    def close(self) -> None:
        """Give back the memory of all runners, and let go of the plan."""
        self._runners = []
        for context in self._contexts:
            context.close()
        self._contexts = []
        self._plan = self._runtime = None


def _advised(error: EngineError) -> str:
    if not isinstance(error, DeviceMemoryFull):
        return str(error)
    return f"{error}; lower instances or max_batch_rows, serve a smaller variant, or unload another model"


def _batch_sizes(ports: Ports, signature: Signature) -> tuple[int, ...]:
    if signature.batch_axis is None:
        return (1,)
    least, _, most = next(iter(ports.shapes.values()))
    return buckets(least[0], most[0])


class TensorRtRunner:
    """Pads a batch to the next size that is prepared, and gives copies of what belongs to its rows."""

    def __init__(self, context: Context, signature: Signature, forms: list[Form], bounds: dict[str, int]) -> None:
        """`forms` are those that `warm_up` prepared, the smallest first."""
        self.context = context
        self.forms = forms
        self._bounds = bounds
        self._names = [spec.name for spec in signature.inputs]
        self._has_rows = signature.batch_axis is not None
        self._sizes = tuple(len(next(iter(form.inputs.values()))) for form in forms) if self._has_rows else ()
        self._known = {tuple(form.shapes.values()): form for form in forms}

    @property
    def eager_rows(self) -> list[int]:
        """The batch sizes that no graph could be captured for."""
        return [size for size, form in zip(self._sizes, self.forms, strict=False) if form.graph is None]

    def run(self, inputs: Arrays) -> dict[str, Array]:
        refuse_indices(inputs, self._bounds)
        rows = len(next(iter(inputs.values()))) if self._has_rows else None
        if rows == 0:
            return {name: np.empty((0, *view.shape[1:]), view.dtype) for name, view in self.forms[0].outputs.items()}
        try:
            form = self.form_for(inputs, rows)
            self.context.fill(form, inputs)
            self.context.launch(form)
            self.context.wait()
        except (CudaError, RunError) as error:
            self.context.settle()
            raise RunError(f"the GPU failed while running: {_advised(error)}") from None
        return {name: view[:rows].copy() if self._has_rows else view.copy() for name, view in form.outputs.items()}

    def form_for(self, inputs: Arrays, rows: int | None) -> Form:
        """What so many rows of these shapes run as. Other shapes than those warmed up with run without a graph."""
        shapes = {name: inputs[name].shape for name in self._names}
        if rows is not None:
            if rows > self._sizes[-1]:
                raise InputRefused(f"{rows} rows came, and this variant was built for at most {self._sizes[-1]}")
            size = bucket_of(rows, self._sizes)
            shapes = {name: (size, *shape[1:]) for name, shape in shapes.items()}
        return self._known.get(tuple(shapes.values())) or self.context.form(shapes)
