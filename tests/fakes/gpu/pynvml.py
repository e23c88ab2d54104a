"""A fake NVML: two GPUs that are not there. `gpus` is what tests look at and break."""

from types import SimpleNamespace


class NVMLError(Exception):
    pass


gpus = [
    SimpleNamespace(name="FAKE GPU (ONNX Runtime on the CPU)", used=3 << 30, total=8 << 30, percent=40),
    SimpleNamespace(name="FAKE GPU, a slice", used=0, total=4 << 30, percent=None),
]
state = SimpleNamespace(has_driver=True, opened=0)


def nvmlInit() -> None:
    if not state.has_driver:
        raise NVMLError
    state.opened += 1


def nvmlShutdown() -> None:
    state.opened -= 1


def nvmlDeviceGetCount() -> int:
    return len(gpus)


def nvmlDeviceGetHandleByIndex(index: int) -> int:
    return index


def nvmlDeviceGetName(gpu: int) -> str:
    if gpus[gpu] is None:
        raise NVMLError
    return str(gpus[gpu].name)


def nvmlDeviceGetMemoryInfo(gpu: int) -> SimpleNamespace:
    if gpus[gpu] is None:
        raise NVMLError
    return SimpleNamespace(used=gpus[gpu].used, total=gpus[gpu].total)


def nvmlDeviceGetUtilizationRates(gpu: int) -> SimpleNamespace:
    if gpus[gpu].percent is None:
        raise NVMLError
    return SimpleNamespace(gpu=gpus[gpu].percent)
