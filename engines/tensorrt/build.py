"""From ONNX to a plan, by the TensorRT of this Python. Native code that may end its process: `child` runs it.

Nothing here needs more than the standard library and TensorRT itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from engines.errors import LoadError
from engines.tensorrt.module import build_flags, keeps_timings, taken_words
from engines.tensorrt.phases import Phases
from engines.tensorrt.reading import Reading

PLAN, TIMINGS = "plan", "timings"
"""The files that a build leaves in its folder."""

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done, 0 to 1."""

_LEAST_TOLD = 0.01
"""Of progress: a build has some thousand steps."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large a dynamic dimension may be: `most` is what memory is taken for, `usual` what kernels are chosen for."""

    least: int
    usual: int
    most: int


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """All that a plan depends on beside its model, library and device. Each field is part of its key."""

    rows: Bounds = Bounds(1, 32, 32)
    """Of the batch axis; for a model that has one."""
    lengths: Bounds | None = None
    """Of every other dynamic dimension; a model that has one needs it."""
    workspace_bytes: int = 2 << 30
    """Most memory that kernels may take for themselves. TensorRT would take all of the device's."""
    optimization_level: int = 3
    """0 builds fastest, 5 looks longest for fast kernels."""
    tf32: bool = True
    """Whether FP32 products may be computed with 10 bits of mantissa; not where a variant is called fp32."""

    @staticmethod
    def from_json(record: dict[str, Any]) -> "BuildSettings":
        """Read back what `dataclasses.asdict` gave. Raises KeyError and TypeError."""
        bounds = {key: Bounds(**record[key]) for key in ("rows", "lengths") if record[key] is not None}
        return BuildSettings(**(record | bounds))


@dataclass(frozen=True, slots=True)
class Facts:
    """What reports tell of a build."""

    seconds: float
    layers: int
    precisions: dict[str, str]
    """Of each convolution and product by name."""


def build(
    reading: Reading,
    shapes: Mapping[str, Sequence[Sequence[int]]],
    settings: BuildSettings,
    known_timings: bytes,
    folder: Path,
    progress: Progress,
) -> Facts:
    """Write PLAN into the folder, and TIMINGS where the module keeps them.

    `shapes` holds the least, the usual and the most of each input with dynamic dimensions. Raises LoadError with what
    TensorRT logs.
    """
    started = perf_counter()
    config = _configured(reading, settings)
    _add_profile(reading, config, shapes)
    _take_timings(reading, config, known_timings)
    monitor = _monitor(reading, progress)  # the config does not keep it
    config.progress_monitor = monitor
    built = reading.builder.build_serialized_network(reading.network, config)
    if built is None:
        raise _failure(reading, "build the model")
    (folder / PLAN).write_bytes(built)
    if keeps_timings(reading.module):
        (folder / TIMINGS).write_bytes(config.get_timing_cache().serialize())
    return Facts(round(perf_counter() - started, 2), reading.layers(), reading.precisions())


def _configured(reading: Reading, settings: BuildSettings) -> Any:
    api = reading.module.api
    config = reading.builder.create_builder_config()
    config.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, settings.workspace_bytes)
    config.builder_optimization_level = settings.optimization_level
    config.max_aux_streams = 0  # several workers share the device
    config.profiling_verbosity = api.ProfilingVerbosity.DETAILED  # a plan can then be asked for its precisions
    if not settings.tf32:
        config.clear_flag(api.BuilderFlag.TF32)  # it is on by itself
    for flag in build_flags(reading.module):
        config.set_flag(flag)
    return config


def _add_profile(reading: Reading, config: Any, shapes: Mapping[str, Sequence[Sequence[int]]]) -> None:
    """A wrong name is taken silently, and wrong bounds answer -1 or raise: both are told of here."""
    if not shapes:
        return
    known = {reading.network.get_input(index).name for index in range(reading.network.num_inputs)}
    if unknown := sorted(shapes.keys() - known):
        raise LoadError(f"the model has no inputs {unknown}, only {sorted(known)}")
    profile = reading.builder.create_optimization_profile()
    for name, bounds in shapes.items():
        profile.set_shape(name, *map(tuple, bounds))
    if config.add_optimization_profile(profile) < 0:
        raise _failure(reading, f"prepare for the shapes {dict(shapes)}")


def _take_timings(reading: Reading, config: Any, known: bytes) -> None:
    """Start from what was learned before. What another version or device has left is not taken: then from nothing."""
    if not keeps_timings(reading.module):
        return
    for content in (known, b""):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
            return


def _monitor(reading: Reading, progress: Progress) -> Any:
    base: Any = reading.module.api.IProgressMonitor

    class Monitor(base):  # type: ignore[misc]  # the module brings no types
        """Called from the library's own threads, one at a time."""

        def __init__(self) -> None:
            super().__init__()
            self.phases, self.told = Phases(), -1.0

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self.phases.start(phase, parent, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            self.phases.step(phase, step)
            if self.phases.share >= self.told + _LEAST_TOLD:
                self.told = self.phases.share
                progress(self.phases.doing, self.told)
            return True

        def phase_finish(self, phase: str) -> None:
            pass

    return Monitor()


def _failure(reading: Reading, doing: str) -> LoadError:
    words = taken_words(reading.log) or "it does not say why"
    mends = "; set tensorrt_lengths to what the model can have" if "violate shape constraints" in words else ""
    return LoadError(f"{reading.module.name} cannot {doing}: {words}{mends}")
