"""Puts the fakes of this folder where NVIDIA's packages would be, and opens models on them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import onnx

from engines.signature import Signature
from engines.tensorrt import build_apart, engine
from engines.tensorrt.build import PLAN, Bounds, BuildSettings, Facts
from engines.tensorrt.build_apart import obtain
from engines.tensorrt.plans import Plan, Plans

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
    plan = plan_here(path, signature, settings)
    return engine.load(path, signature, instances=instances, threads=threads, plan=plan, graphs=graphs)


def plan_here(path: Path, signature: Signature, settings: BuildSettings = SETTINGS) -> Plan:
    """A plan that is made as all are, but without a child process."""
    plans = Plans(path.parent / "plans")
    with patch.object(build_apart, "_asked", _asked):
        return obtain(path, signature, settings, engine.target_here(), plans, lambda what, share: None)


def open_on_fake_gpu(path: Path, signature: Signature, *, instances: int, threads: int) -> engine.TensorRtEngine:
    """The model on a fake device of its own."""
    with fake_gpu():
        return open_here(path, signature, instances=instances, threads=threads)


def _asked(question: dict[str, Any], most_seconds: float) -> Iterator[dict[str, Any]]:
    from tensorrt.plan import Plan as FakePlan

    built = FakePlan(onnx.load(question["path"]), question["shapes"])
    Path(question["folder"], PLAN).write_bytes(built.write())
    yield {"built": asdict(Facts(0.0, 1, {}))}
