"""The CUDA runtime's answers become values or errors with its words."""

import sys
from types import SimpleNamespace

import pytest

from engines.tensorrt.device import Cuda, CudaError, DeviceMemoryFull, NoDevice, count
from tests.fakes.fake_gpu import FakeGpu


def test_without_the_package_there_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda", None)
    assert count() == 0
    with pytest.raises(NoDevice, match=r"octet-serving\[gpu\]"):
        Cuda()


def test_without_a_driver_there_is_no_device_and_the_driver_says_why(gpu: FakeGpu) -> None:
    gpu.device.answer = _error("cudaErrorInsufficientDriver")
    assert count() == 0
    with pytest.raises(NoDevice, match="cudaErrorInsufficientDriver"):
        Cuda().device()


def test_a_driver_may_count_none(gpu: FakeGpu) -> None:
    gpu.device.count = 0
    assert count() == 0
    with pytest.raises(NoDevice, match="counts none"):
        Cuda().device()


def test_what_a_device_is(gpu: FakeGpu) -> None:
    device = Cuda().device()
    assert count() == 1
    assert (device.index, device.sm, device.driver, device.memory_bytes) == (0, "01", "13.0", 1 << 30)
    assert device.name.startswith("FAKE")


def test_a_device_that_is_not_there(gpu: FakeGpu) -> None:
    with pytest.raises(NoDevice, match="no GPU 3: 1 are here"):
        Cuda().device(3)


def test_full_memory_is_an_error_of_its_own(gpu: FakeGpu) -> None:
    gpu.device.memory_bytes = 100
    cuda = Cuda()
    address = cuda.allocate(60)
    assert cuda.free_bytes() == 40
    with pytest.raises(DeviceMemoryFull, match="cudaMalloc failed: out of memory"):
        cuda.allocate(60)
    cuda.free(address)
    assert cuda.free_bytes() == 100


def test_another_failure_says_which_call_and_why(gpu: FakeGpu) -> None:
    gpu.device.fails["cudaHostAlloc"] = _error("cudaErrorInvalidValue")
    with pytest.raises(CudaError, match=r"cudaHostAlloc failed: .* \(cudaErrorInvalidValue\)$"):
        Cuda().allocate_pinned(1)


def test_a_failure_that_lasts_says_so(gpu: FakeGpu) -> None:
    gpu.device.fails["cudaHostAlloc"] = _error("cudaErrorIllegalAddress")
    with pytest.raises(CudaError, match="restart the server"):
        Cuda().allocate_pinned(1)


def test_the_time_between_two_events(gpu: FakeGpu) -> None:
    cuda = Cuda()
    stream, start, end = cuda.stream(), cuda.event(timed=True), cuda.event(timed=True)
    cuda.record(start, stream)
    cuda.record(end, stream)
    cuda.wait(end)
    assert cuda.milliseconds(start, end) > 0


def _error(name: str) -> SimpleNamespace:
    from cuda.bindings import runtime

    return runtime.cudaError_t[name]
