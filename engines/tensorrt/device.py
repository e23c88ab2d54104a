"""The CUDA runtime: which devices there are, and the calls that an engine makes, each with its answer checked.

Asked before TensorRT is touched: without a device its objects end the process instead of raising. No call here raises
without a device or a driver but CudaError.
"""

from dataclasses import dataclass
from typing import Any

from engines.errors import EngineError


class CudaError(EngineError):
    """A call of the CUDA runtime failed: its name, and CUDA's words."""


class DeviceMemoryFull(CudaError):
    """The device, or the memory that can be pinned for it, has no room for this."""


class NoDevice(CudaError):
    """There is no device that CUDA can use here, and why."""


# What leaves the process without a device that works.
_LASTING = {
    "cudaErrorContained", "cudaErrorECCUncorrectable", "cudaErrorHardwareStackError", "cudaErrorIllegalAddress",
    "cudaErrorIllegalInstruction", "cudaErrorInvalidAddressSpace", "cudaErrorInvalidPc", "cudaErrorLaunchFailure",
    "cudaErrorLaunchTimeout", "cudaErrorMisalignedAddress",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Device:
    """What a plan depends on, and what a report names."""

    index: int
    name: str
    """`NVIDIA H100 80GB HBM3`."""
    sm: str
    """Its compute capability: `90`."""
    driver: str
    """The newest CUDA that the driver knows: `13.0`."""
    memory_bytes: int


def count() -> int:
    """How many devices CUDA can use here; 0 where anything is missing that it needs."""
    try:
        return Cuda().count()
    except NoDevice:
        return 0


class Cuda:
    """The calls. Addresses are ints, streams, events and graphs what cuda-bindings takes them for.

    Each call that can wait leaves the interpreter's lock to others meanwhile.
    """

    def __init__(self) -> None:
        """Raises NoDevice where the package cuda-bindings is missing."""
        try:
            from cuda.bindings import runtime
        except ImportError as error:
            raise NoDevice(f"cuda-bindings cannot be imported ({error}); install octet-serving[gpu]") from None
        self._api = runtime

    def count(self) -> int:
        """How many devices there are, at least one. Raises NoDevice with the driver's reason."""
        try:
            found: int = self._checked("cudaGetDeviceCount")
        except CudaError as error:
            raise NoDevice(f"there is no NVIDIA GPU here that CUDA can use: {error}") from None
        if not found:
            raise NoDevice("there is no NVIDIA GPU here that CUDA can use: it counts none")
        return found

    def device(self, index: int = 0) -> Device:
        """What CUDA says of a device. Raises NoDevice where there is none of this index."""
        if index >= (found := self.count()):
            raise NoDevice(f"there is no GPU {index}: {found} are here, the first one is 0")
        properties = self._checked("cudaGetDeviceProperties", index)
        driver = self._checked("cudaDriverGetVersion")
        return Device(
            index,
            properties.name.rstrip(b"\0").decode(),
            f"{properties.major}{properties.minor}",
            f"{driver // 1000}.{driver % 1000 // 10}",
            properties.totalGlobalMem,
        )

    def free_bytes(self) -> int:
        """Memory of the device that nobody has taken."""
        free, _ = self._checked("cudaMemGetInfo")
        return int(free)

    def allocate(self, size_bytes: int) -> int:
        """Memory on the device. Raises DeviceMemoryFull."""
        return int(self._checked("cudaMalloc", size_bytes))

    def allocate_pinned(self, size_bytes: int) -> int:
        """Memory of this machine that the device copies from and to by itself. Raises DeviceMemoryFull."""
        return int(self._checked("cudaHostAlloc", size_bytes, self._api.cudaHostAllocDefault))

    def copy_in(self, device: int, host: int, size_bytes: int, stream: Any) -> None:
        """Copy to the device, once the stream comes to it."""
        kind = self._api.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._checked("cudaMemcpyAsync", device, host, size_bytes, kind, stream)

    def copy_out(self, host: int, device: int, size_bytes: int, stream: Any) -> None:
        """Copy from the device, once the stream comes to it."""
        kind = self._api.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._checked("cudaMemcpyAsync", host, device, size_bytes, kind, stream)

    def stream(self) -> Any:
        """A new stream that does not wait for the default one."""
        return self._checked("cudaStreamCreateWithFlags", self._api.cudaStreamNonBlocking)

    def event(self, *, timed: bool = False) -> Any:
        """A new event. A thread that waits for it sleeps."""
        timing = 0 if timed else self._api.cudaEventDisableTiming
        return self._checked("cudaEventCreateWithFlags", self._api.cudaEventBlockingSync | timing)

    def record(self, event: Any, stream: Any) -> None:
        """Let the event happen when the stream has done all that it has been given."""
        self._checked("cudaEventRecord", event, stream)

    def wait(self, event: Any) -> None:
        """Until it has happened. What failed on the device meanwhile is raised here."""
        self._checked("cudaEventSynchronize", event)

    def milliseconds(self, start: Any, end: Any) -> float:
        """Between two timed events that have happened."""
        return float(self._checked("cudaEventElapsedTime", start, end))

    def begin_capture(self, stream: Any) -> None:
        """Record what this thread gives to the stream instead of doing it. Other threads go on undisturbed."""
        self._checked(
            "cudaStreamBeginCapture", stream, self._api.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        )

    def end_capture(self, stream: Any) -> Any:
        """What was recorded, as a graph that can be launched. Raises CudaError where something cannot be."""
        recorded = self._checked("cudaStreamEndCapture", stream)
        try:
            graph = self._checked("cudaGraphInstantiate", recorded, 0)
        finally:
            self._api.cudaGraphDestroy(recorded)
        try:
            self._checked("cudaGraphUpload", graph, stream)
        except CudaError:
            self.destroy_graph(graph)
            raise
        return graph

    def abandon_capture(self, stream: Any) -> None:
        """Leave the capture whatever state it is in, and forget its error."""
        error, recorded = self._api.cudaStreamEndCapture(stream)
        if not error and recorded is not None:
            self._api.cudaGraphDestroy(recorded)
        self._api.cudaGetLastError()

    def launch(self, graph: Any, stream: Any) -> None:
        """Do once more what was recorded."""
        self._checked("cudaGraphLaunch", graph, stream)

    # What is given back is not checked: where the device fails, it has all been lost already.

    def free(self, address: int) -> None:
        """Give back what `allocate` gave."""
        self._api.cudaFree(address)

    def free_pinned(self, address: int) -> None:
        """Give back what `allocate_pinned` gave."""
        self._api.cudaFreeHost(address)

    def destroy_stream(self, stream: Any) -> None:
        """Wait for what it has been given, then give it back."""
        self._api.cudaStreamSynchronize(stream)
        self._api.cudaStreamDestroy(stream)

    def destroy_event(self, event: Any) -> None:
        """Give it back."""
        self._api.cudaEventDestroy(event)

    def destroy_graph(self, graph: Any) -> None:
        """Give back what `end_capture` gave."""
        self._api.cudaGraphExecDestroy(graph)

    def _checked(self, name: str, *arguments: Any) -> Any:
        error, *values = getattr(self._api, name)(*arguments)
        if error:
            raise self._failure(name, error)
        return values[0] if len(values) == 1 else values

    def _failure(self, name: str, error: Any) -> CudaError:
        self._api.cudaGetLastError()  # or the next call would be told of it again
        _, words = self._api.cudaGetErrorString(error)
        message = f"{name} failed: {words.decode()} ({error.name})"
        if error.name in _LASTING:
            message += "; nothing runs on the GPU any more in this process: restart the server"
        if error == self._api.cudaError_t.cudaErrorMemoryAllocation:
            return DeviceMemoryFull(message)
        return CudaError(message)
