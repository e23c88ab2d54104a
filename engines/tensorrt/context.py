"""An execution context with a stream, memory and graphs of its own: what one worker runs batches with.

A batch is copied to pinned memory, and from there to the device, run and copied back by one stream. Where that could be
captured, all of it is one launch of a CUDA graph.
"""

import math
import re
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from engines.engine import Array, Arrays
from engines.errors import EngineError, InputRefused, RunError
from engines.tensorrt.buckets import fill
from engines.tensorrt.buffer import Buffer
from engines.tensorrt.device import Cuda, CudaError, DeviceMemoryFull
from engines.tensorrt.module import Module, new_context, taken_words
from engines.tensorrt.ports import Ports

_FULL = re.compile("out ?of ?memory", re.IGNORECASE)

InputShapes = dict[str, tuple[int, ...]]


@dataclass(slots=True, eq=False)
class Form:
    """Shapes that a context can run: the views of its memory that hold them, and the graph, if it was captured."""

    shapes: InputShapes
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    graph: Any = None


class Context:
    """Runs one batch at a time, from any thread. `close` gives all of it back."""

    def __init__(self, cuda: Cuda, module: Module, engine: Any, log: Any, ports: Ports) -> None:
        """Raises DeviceMemoryFull and CudaError, and RunError with the log's words."""
        self._cuda = cuda
        self._log = log
        self._ports = ports
        self._shaped: Form | None = None
        with ExitStack() as held:
            self.stream = cuda.stream()
            held.callback(cuda.destroy_stream, self.stream)
            self._done = cuda.event()
            held.callback(cuda.destroy_event, self._done)
            self._api = new_context(module, engine)
            self._need(self._api, "make an execution context")
            self._give_memory(engine.device_memory_size_v2, held)
            held.callback(self._forget)
            self._buffers = self._allocate(held)
            self._held = held.pop_all()

    def close(self) -> None:
        """Give everything back; a second time does nothing."""
        self._held.close()

    def form(self, shapes: InputShapes) -> Form:
        """What these shapes need. Raises InputRefused for shapes that the model does not run."""
        self._set(shapes)
        ports, outputs = self._ports, {}
        for name, dtype in ports.outputs.items():
            shape = tuple(self._api.get_tensor_shape(name))
            if min(shape, default=0) < 0:
                raise RunError(
                    f"the values of the inputs decide the shape of '{name}', {list(shape)}, and no memory can be held "
                    "ready for it; serve this model with onnxruntime"
                )
            outputs[name] = self._buffers[name].view(shape, dtype)
        inputs = {name: self._buffers[name].view(shapes[name], dtype) for name, dtype in ports.inputs.items()}
        self._shaped = form = Form(shapes, inputs, outputs)
        return form

    def fill(self, form: Form, inputs: Arrays) -> None:
        """Copy a batch into pinned memory, padded to the form's rows."""
        for name, view in form.inputs.items():
            if view.ndim:
                fill(view, inputs[name])
            else:
                view[...] = inputs[name]

    def launch(self, form: Form) -> None:
        """Give the stream all there is to do with what was filled in. Raises RunError and CudaError."""
        if form.graph is not None:
            self._cuda.launch(form.graph, self.stream)
        else:
            self._enqueue(form)

    def wait(self) -> None:
        """Until the stream is through, asleep. Raises CudaError for what failed meanwhile."""
        self._cuda.record(self._done, self.stream)
        self._cuda.wait(self._done)

    def settle(self) -> None:
        """After a failure: until the stream touches the memory no more."""
        with suppress(CudaError):
            self.wait()

    def capture(self, form: Form) -> None:
        """Turn the form into one graph, after it has run without.

        It stays as it was where something in it cannot be captured: a copy that waits, memory taken while running.
        """
        try:
            self._cuda.begin_capture(self.stream)
            self._enqueue(form)
        except EngineError:
            self._cuda.abandon_capture(self.stream)
            taken_words(self._log)
            return
        with suppress(CudaError):
            form.graph = self._cuda.end_capture(self.stream)
            self._held.callback(self._cuda.destroy_graph, form.graph)

    def _enqueue(self, form: Form) -> None:
        if self._shaped is not form:
            self._set(form.shapes)
            self._shaped = form
        for name, view in form.inputs.items():
            buffer = self._buffers[name]
            self._cuda.copy_in(buffer.device, buffer.host, view.nbytes, self.stream)
        self._need(self._api.execute_async_v3(int(self.stream)), "run the batch")
        for name, view in form.outputs.items():
            buffer = self._buffers[name]
            self._cuda.copy_out(buffer.host, buffer.device, view.nbytes, self.stream)

    def _set(self, shapes: InputShapes) -> None:
        self._shaped = None
        for name, shape in shapes.items():
            if not self._api.set_input_shape(name, shape):
                least, _, most = self._ports.shapes[name]
                raise InputRefused(
                    f"'{name}' has the dimensions {list(shape)}, and this variant was built for {list(least)} to "
                    f"{list(most)}{self._words()}"
                )
        try:
            missing = self._api.infer_shapes()
        except RuntimeError as error:
            raise InputRefused(f"the model refused the dimensions {shapes}: {error}{self._words()}") from None
        self._need(not missing, f"infer shapes without {missing}")

    def _give_memory(self, size_bytes: int, held: ExitStack) -> None:
        """What the kernels work in. Every context has its own: two that share it may not run at once."""
        if size_bytes:
            address = self._cuda.allocate(size_bytes)
            held.callback(self._cuda.free, address)
            self._api.set_device_memory(address, size_bytes)

    def _allocate(self, held: ExitStack) -> dict[str, Buffer]:
        sizes = {}
        for name, dtype in self._ports.inputs.items():
            most = self._ports.shapes[name][2]
            self._need(self._api.set_input_shape(name, most), f"take the dimensions {list(most)} for '{name}'")
            sizes[name] = math.prod(most) * dtype.itemsize
        sizes |= {name: self._api.get_max_output_size(name) for name in self._ports.outputs}
        buffers = {name: Buffer(self._cuda, size_bytes, held) for name, size_bytes in sizes.items()}
        for name, buffer in buffers.items():
            self._need(self._api.set_tensor_address(name, buffer.device), f"take the memory for '{name}'")
        return buffers

    def _need(self, answer: Any, what: str) -> None:
        """TensorRT raises nothing: it answers False or None, and says why in its log."""
        if answer is None or answer is False:
            words = self._words()
            message = f"TensorRT did not {what}{words}"
            raise DeviceMemoryFull(message) if _FULL.search(words) else RunError(message)

    def _words(self) -> str:
        words = taken_words(self._log)
        return f": {words}" if words else ""

    def _forget(self) -> None:
        self._api = None
