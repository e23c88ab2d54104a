"""How full and how busy the GPUs of this machine are, as their driver counts it (NVML)."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class GpuUse:
    """One GPU now, whoever uses it."""

    index: int
    name: str
    used_bytes: int
    total_bytes: int
    busy: float | None
    """The share of the driver's last sampling period (up to a second) in which a kernel ran; None where it counts none.
    """


class GpuMeter:
    """Reads them; a few microseconds a GPU. Without nvidia-ml-py or a driver there is nothing to read."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._gpus: list[Any] = []
        try:
            import pynvml
        except ImportError:
            return
        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            self._nvml = pynvml
            self._gpus = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]

    def close(self) -> None:
        """Let go of the driver; a second time does nothing."""
        nvml, self._nvml, self._gpus = self._nvml, None, []
        if nvml is not None:
            with suppress(nvml.NVMLError):
                nvml.nvmlShutdown()

    def read(self) -> list[GpuUse]:
        """All that answer: one that fell off the bus is left out."""
        uses = []
        for index, gpu in enumerate(self._gpus):
            with suppress(self._nvml.NVMLError):
                memory = self._nvml.nvmlDeviceGetMemoryInfo(gpu)
                name = self._nvml.nvmlDeviceGetName(gpu)
                uses.append(GpuUse(index, name, memory.used, memory.total, self._busy(gpu)))
        return uses

    def _busy(self, gpu: Any) -> float | None:
        try:
            return float(self._nvml.nvmlDeviceGetUtilizationRates(gpu).gpu) / 100
        except self._nvml.NVMLError:  # a slice of a GPU has none
            return None
