"""Puts the fakes of this folder where NVIDIA's packages would be, and opens models on them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import onnx

from engines.signature import Signature
from engines.tensorrt import engine
from engines.tensorrt.build import PLAN, Bounds, BuildSettings
from engines.tensorrt.plans import Made, Plan, Plans, Target
from engines.tensorrt.profile import profile_shapes

FAKES = Path(__file__).parent / "gpu"
"""On PYTHONPATH, it gives the fakes to another process."""
_NAMES = {"cuda", "pynvml", "tensorrt"}

SETTINGS = BuildSettings(rows=Bounds(1, 8, 64), lengths=Bounds(1, 8, 64))


class FakeGpu(NamedTuple):
    """What a test looks at and breaks."""

    device: Any
    """`device` of the fake `cuda.bindings.runtime`."""
    faults: set[str]
    """`faults` of the fake `tensorrt`."""


@contextmanager
def fake_gpu() -> Iterator[FakeGpu]:
    """A new fake device, for what is imported meanwhile."""
    hidden = _taken_out()
    sys.path.insert(0, str(FAKES))
    try:
        import tensorrt
        from cuda.bindings import runtime

        yield FakeGpu(runtime.device, tensorrt.faults)
    finally:
        sys.path.remove(str(FAKES))
        _taken_out()
        sys.modules.update(hidden)


def _taken_out() -> dict[str, Any]:
    names = [name for name in sys.modules if name.partition(".")[0] in _NAMES]
    return {name: sys.modules.pop(name) for name in names}


def open_here(
    path: Path,
    signature: Signature,
    *,
    instances: int = 1,
    threads: int = 1,
    settings: BuildSettings = SETTINGS,
    graphs: bool = True,
) -> engine.TensorRtEngine:
    """The model on the fake device that is there, with a plan that is made without a child process."""
    with patch.object(engine, "obtain", _obtain):
        return engine.load(
            path,
            signature,
            instances=instances,
            threads=threads,
            plans=Plans(path.parent / "plans"),
            settings=settings,
            progress=lambda what, share: None,
            graphs=graphs,
        )


def open_on_fake_gpu(path: Path, signature: Signature, *, instances: int, threads: int) -> engine.TensorRtEngine:
    """The model on a fake device of its own."""
    with fake_gpu():
        return open_here(path, signature, instances=instances, threads=threads)


def _obtain(
    path: Path,
    signature: Signature,
    settings: BuildSettings,
    target: Target,
    plans: Plans,
    progress: Any,
) -> Plan:
    from tensorrt.plan import Plan as FakePlan

    made = Made("of whatever model", settings, target)
    with plans.building() as folder:
        (folder / PLAN).write_bytes(FakePlan(onnx.load(path), profile_shapes(signature, settings)).write())
        return plans.keep(made, folder, {})
