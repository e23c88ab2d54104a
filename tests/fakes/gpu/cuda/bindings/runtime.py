"""A fake CUDA runtime: there is no GPU behind it. Its memory is this machine's, its kernels are Python functions.

It is as lazy and as strict as a device may be. A stream does nothing until somebody waits for it; memory that was never
written holds NaN; what is not allocated cannot be copied to or from, or freed; copies need pinned memory; a thread that
captures may neither allocate nor wait. What it cannot show is speed, and what real kernels answer.

`device` is what tests look at and break.
"""

import ctypes
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import count
from types import SimpleNamespace
from typing import Any

cudaStreamNonBlocking, cudaEventBlockingSync, cudaEventDisableTiming, cudaHostAllocDefault = 1, 1, 2, 0


class cudaError_t(IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorNoDevice = 100
    cudaErrorIllegalAddress = 700
    cudaErrorStreamCaptureUnsupported = 900
    cudaErrorStreamCaptureInvalidated = 901


class cudaMemcpyKind(IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaStreamCaptureMode(IntEnum):
    cudaStreamCaptureModeThreadLocal = 1


OK = cudaError_t.cudaSuccess
INVALID = cudaError_t.cudaErrorInvalidValue
Operation = Callable[[], None]


class Failed(Exception):
    """An operation failed while the stream did it."""


@dataclass
class Stream:
    waiting: list[Operation] = field(default_factory=list)
    recording: list[Operation] | None = None
    recorder: int = 0
    """The thread that captures."""
    spoiled: bool = False
    """Whether something was done that cannot be captured."""


@dataclass
class Device:
    """What tests look at and break."""

    answer: cudaError_t = OK
    """What cudaGetDeviceCount says."""
    count: int = 1
    memory_bytes: int = int(os.environ.get("FAKE_GPU_BYTES", "1073741824"))
    """A process is told by FAKE_GPU_BYTES."""
    calls: list[str] = field(default_factory=list)
    """What was asked for and what streams did, in order: `malloc 64`, `in 64`, `kernel 4`, `capture`, `launch` ..."""
    memory: dict[int, Any] = field(default_factory=dict)
    pinned: dict[int, Any] = field(default_factory=dict)
    streams: dict[int, Stream] = field(default_factory=dict)
    events: dict[int, SimpleNamespace] = field(default_factory=dict)
    graphs: dict[int, list[Operation]] = field(default_factory=dict)
    fails: dict[str, cudaError_t] = field(default_factory=dict)
    """Name of a call -> what it fails with."""
    asked: bool = False
    """Whether anybody counted the devices."""

    @property
    def used_bytes(self) -> int:
        return sum(len(block) for block in self.memory.values())

    @property
    def left_behind(self) -> dict[str, int]:
        """What has not been given back."""
        held = {name: len(getattr(self, name)) for name in ("memory", "pinned", "streams", "events", "graphs")}
        return {name: number for name, number in held.items() if number}


device = Device()
_lock = threading.RLock()
_numbers = count(1000)


def _call(name: str) -> cudaError_t:
    return device.fails.get(name, OK)


def enqueue(stream: int, operation: Operation) -> cudaError_t:
    """Give a stream something to do: it is recorded while the stream captures, else done when somebody waits."""
    held = device.streams.get(int(stream))
    if held is None:
        return INVALID
    (held.waiting if held.recording is None else held.recording).append(operation)
    return OK


def capturing(stream: int) -> bool:
    return device.streams[int(stream)].recording is not None


def note(what: str) -> None:
    device.calls.append(what)


def _do(stream: Stream) -> cudaError_t:
    waiting, stream.waiting = stream.waiting, []
    try:
        for operation in waiting:
            operation()
    except Failed:
        return cudaError_t.cudaErrorIllegalAddress
    return OK


def _may_not_be_captured() -> bool:
    """A call that waits or allocates, from a thread that captures, spoils the capture."""
    mine = [one for one in device.streams.values() if one.recording is not None and one.recorder == _thread()]
    for stream in mine:
        stream.spoiled = True
    return bool(mine)


def _thread() -> int:
    return threading.get_ident()


def cudaGetDeviceCount() -> tuple[cudaError_t, int | None]:
    device.asked = True
    return device.answer, None if device.answer else device.count


def cudaGetDeviceProperties(index: int) -> tuple[cudaError_t, Any]:
    name = b"FAKE GPU (ONNX Runtime on the CPU)".ljust(256, b"\0")
    return OK, SimpleNamespace(name=name, major=0, minor=1, totalGlobalMem=device.memory_bytes)


def cudaDriverGetVersion() -> tuple[cudaError_t, int]:
    return OK, 13000


def cudaMemGetInfo() -> tuple[cudaError_t, int, int]:
    return OK, device.memory_bytes - device.used_bytes, device.memory_bytes


def cudaGetLastError() -> tuple[cudaError_t]:
    return (OK,)


def cudaGetErrorString(error: cudaError_t) -> tuple[cudaError_t, bytes]:
    words = {cudaError_t.cudaErrorMemoryAllocation: b"out of memory"}
    return OK, words.get(error, b"the fake device says " + error.name.encode())


def _allocate(held: dict[int, Any], size_bytes: int) -> tuple[cudaError_t, int | None]:
    if _may_not_be_captured():
        return cudaError_t.cudaErrorStreamCaptureUnsupported, None
    block = (ctypes.c_ubyte * size_bytes)()
    ctypes.memset(block, 0xFF, size_bytes)  # NaN in every type of floats
    held[ctypes.addressof(block)] = block
    return OK, ctypes.addressof(block)


def cudaMalloc(size_bytes: int) -> tuple[cudaError_t, int | None]:
    with _lock:
        note(f"malloc {size_bytes}")
        if device.used_bytes + size_bytes > device.memory_bytes:
            return cudaError_t.cudaErrorMemoryAllocation, None
        return _allocate(device.memory, size_bytes)


def cudaHostAlloc(size_bytes: int, flags: int) -> tuple[cudaError_t, int | None]:
    with _lock:
        if error := _call("cudaHostAlloc"):
            return error, None
        return _allocate(device.pinned, size_bytes)


def cudaFree(address: int) -> tuple[cudaError_t]:
    return (OK if device.memory.pop(address, None) is not None else INVALID,)


def cudaFreeHost(address: int) -> tuple[cudaError_t]:
    return (OK if device.pinned.pop(address, None) is not None else INVALID,)


def block(held: dict[int, Any], address: int, size_bytes: int) -> int:
    """The address, if so many bytes from there on lie in one block that is allocated. Raises Failed."""
    for start, memory in list(held.items()):
        if start <= address and address + size_bytes <= start + len(memory):
            return address
    raise Failed


def cudaMemcpyAsync(to: int, source: int, size_bytes: int, kind: cudaMemcpyKind, stream: int) -> tuple[cudaError_t]:
    goes_in = kind == cudaMemcpyKind.cudaMemcpyHostToDevice
    into, outof = (device.memory, device.pinned) if goes_in else (device.pinned, device.memory)

    def copy() -> None:
        note(f"{'in' if goes_in else 'out'} {size_bytes}")
        ctypes.memmove(block(into, to, size_bytes), block(outof, source, size_bytes), size_bytes)

    return (enqueue(stream, copy),)


def _new(held: dict[int, Any], what: Any) -> int:
    number = next(_numbers)
    held[number] = what
    return number


def cudaStreamCreateWithFlags(flags: int) -> tuple[cudaError_t, int | None]:
    return (OK, _new(device.streams, Stream())) if flags == cudaStreamNonBlocking else (INVALID, None)


def cudaStreamSynchronize(stream: int) -> tuple[cudaError_t]:
    if _may_not_be_captured():
        return (cudaError_t.cudaErrorStreamCaptureUnsupported,)
    return (_do(device.streams[stream]),)


def cudaStreamDestroy(stream: int) -> tuple[cudaError_t]:
    return (OK if device.streams.pop(stream, None) is not None else INVALID,)


def cudaEventCreateWithFlags(flags: int) -> tuple[cudaError_t, int]:
    return OK, _new(device.events, SimpleNamespace(stream=None, seconds=None))


def cudaEventRecord(event: int, stream: int) -> tuple[cudaError_t]:
    held = device.events[event]
    held.stream = stream

    def happen() -> None:
        held.seconds = time.perf_counter()

    return (enqueue(stream, happen),)


def cudaEventSynchronize(event: int) -> tuple[cudaError_t]:
    if error := _call("cudaEventSynchronize"):
        return (error,)
    return cudaStreamSynchronize(device.events[event].stream)


def cudaEventElapsedTime(start: int, end: int) -> tuple[cudaError_t, float]:
    return OK, (device.events[end].seconds - device.events[start].seconds) * 1e3


def cudaEventDestroy(event: int) -> tuple[cudaError_t]:
    return (OK if device.events.pop(event, None) is not None else INVALID,)


def cudaStreamBeginCapture(stream: int, mode: cudaStreamCaptureMode) -> tuple[cudaError_t]:
    if error := _call("cudaStreamBeginCapture"):
        return (error,)
    held = device.streams[stream]
    if held.waiting:
        note("captured before the run before it was over")
    note("capture")
    held.recording, held.recorder, held.spoiled = [], _thread(), False
    return (OK,)


def cudaStreamEndCapture(stream: int) -> tuple[cudaError_t, int | None]:
    held = device.streams[stream]
    recorded, held.recording = held.recording, None
    if recorded is None or held.spoiled:
        return cudaError_t.cudaErrorStreamCaptureInvalidated, None
    return OK, _new(device.graphs, recorded)


def cudaGraphInstantiate(graph: int, flags: int) -> tuple[cudaError_t, int | None]:
    if error := _call("cudaGraphInstantiate"):
        return error, None
    return OK, _new(device.graphs, list(device.graphs[graph]))


def cudaGraphUpload(graph: int, stream: int) -> tuple[cudaError_t]:
    return (_call("cudaGraphUpload") if graph in device.graphs else INVALID,)


def cudaGraphLaunch(graph: int, stream: int) -> tuple[cudaError_t]:
    if error := _call("cudaGraphLaunch"):
        return (error,)
    operations = device.graphs[graph]

    def replay() -> None:
        note("launch")
        for operation in operations:
            operation()

    return (enqueue(stream, replay),)


def cudaGraphDestroy(graph: int) -> tuple[cudaError_t]:
    return (OK if device.graphs.pop(graph, None) is not None else INVALID,)


cudaGraphExecDestroy = cudaGraphDestroy
