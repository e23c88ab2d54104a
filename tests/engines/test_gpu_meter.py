"""What the driver counts of the GPUs; here, of fake ones."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from types import ModuleType

import pytest

from engines.elsewhere import python_of
from engines.gpu_meter import GpuMeter, GpuUse
from tests.fakes.fake_gpu import fake_gpu


@pytest.fixture
def nvml() -> Iterator[ModuleType]:
    with fake_gpu():
        import pynvml

        yield pynvml
        assert pynvml.state.opened == 0


def test_every_gpu_is_read(nvml: ModuleType) -> None:
    with closing(GpuMeter()) as meter:
        assert meter.read() == [
            GpuUse(0, "FAKE GPU (ONNX Runtime on the CPU)", 3 << 30, 8 << 30, 0.4),
            GpuUse(1, "FAKE GPU, a slice", 0, 4 << 30, None),
        ]


def test_a_gpu_that_answers_no_more_is_left_out(nvml: ModuleType) -> None:
    with closing(GpuMeter()) as meter:
        nvml.gpus[0] = None
        assert [gpu.index for gpu in meter.read()] == [1]


def test_a_meter_may_be_closed_twice_and_reads_nothing_then(nvml: ModuleType) -> None:
    meter = GpuMeter()
    meter.close()
    meter.close()
    assert meter.read() == []


def test_without_a_driver_there_is_nothing_to_read(nvml: ModuleType) -> None:
    nvml.state.has_driver = False
    with closing(GpuMeter()) as meter:
        assert meter.read() == []


def test_without_the_package_there_is_nothing_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with closing(GpuMeter()) as meter:
        assert meter.read() == []


def test_the_real_package_raises_what_is_caught_here() -> None:
    """It stands beside TensorRT; on a machine without a driver it finds no library."""
    script = "from engines.gpu_meter import GpuMeter; import pynvml; print(GpuMeter().read())"
    done = subprocess.run([python_of("tensorrt"), "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[")
