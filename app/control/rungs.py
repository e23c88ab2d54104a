"""The engines that a variant may run in here, best first; which one it runs in now, and why in none above it.

An ONNX file runs in TensorRT where there is a GPU, else in ONNX Runtime on the GPU, else in it on the processor.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import NamedTuple

from structlog.typing import FilteringBoundLogger

from app.metrics import Metrics
from app.serving.lifecycle import VersionKey
from engines.errors import LoadError
from model_store.records import VariantRecord, VersionRecord

TENSORRT = "tensorrt"
ON_GPU = (TENSORRT, "onnxruntime-cuda")
WORKERS_ON_GPU = 2
"""At most: the copies of one go beside the kernels of the other. More would share the GPU's memory among them."""
_OF_ONNX = "onnxruntime"

NO_PLAN = "no_plan"
"""The reason of a fall that ends once the plan is built."""


class PlanMissing(LoadError):
    """TensorRT could run the variant, once its plan is built."""


class Rung(NamedTuple):
    """One way to serve a version."""

    variant: VariantRecord
    engine: str


class Fall(NamedTuple):
    """Why an engine does not run a variant."""

    reason: str
    """`no_plan`, `build`, `load`, `parity`, or `speed` where that cannot be measured."""
    words: str


def has_gpu() -> bool:
    """Whether CUDA counts a device here. Nothing of it is imported where its package is missing."""
    if find_spec("cuda") is None:
        return False
    from engines.tensorrt.device import count

    return count() > 0


def engines_for(engine: str, *, has_gpu: bool) -> tuple[str, ...]:
    """The engines that can run a variant whose manifest names this one, best first."""
    return (*ON_GPU, engine) if has_gpu and engine == _OF_ONNX else (engine,)


class Engines:
    """The engine of each variant of one process. Lives on the event loop's thread."""

    def __init__(self, metrics: Metrics, log: FilteringBoundLogger, *, has_gpu: bool) -> None:
        self._metrics = metrics
        self._log = log
        self._has_gpu = has_gpu
        self._falls: defaultdict[tuple[VersionKey, str], dict[str, Fall]] = defaultdict(dict)
        """By version and artifact, then by engine."""

    def of(self, key: VersionKey, variant: VariantRecord) -> tuple[str, ...]:
        """Those that may run the variant now, best first; never none."""
        fallen = self._falls.get((key, variant.digest), {})
        return tuple(e for e in engines_for(variant.engine, has_gpu=self._has_gpu) if e not in fallen)

    def now(self, key: VersionKey, record: VersionRecord) -> dict[str, str]:
        """Variant -> the best engine for it, for a whole version."""
        return {variant.name: self.of(key, variant)[0] for variant in record.variants}

    def fall(self, key: VersionKey, record: VersionRecord, rung: Rung, fall: Fall) -> bool:
        """Let the next engine run the variant; False where there is none. Told by log, metric and status."""
        ladder = engines_for(rung.variant.engine, has_gpu=self._has_gpu)
        lower = ladder[ladder.index(rung.engine) + 1 :]
        below = [engine for engine in self.of(key, rung.variant) if engine in lower]
        if not below:
            return False
        self._falls[key, rung.variant.digest][rung.engine] = fall
        names = record.name, record.version, rung.variant.name
        self._metrics.engine_fallbacks[*names, rung.engine, below[0], fall.reason] += 1
        log = self._log.bind(model=names[0], version=names[1], variant=names[2])
        told = {"from": rung.engine, "to": below[0], "reason": fall.reason, "why": fall.words}
        log.warning("another engine runs the variant", **told)
        return True

    def without_plan(self, key: VersionKey, record: VersionRecord) -> Iterator[VariantRecord]:
        """The variants of a version that wait for their plan to be built."""
        for variant in record.variants:
            fall = self._falls.get((key, variant.digest), {}).get(TENSORRT)
            if fall is not None and fall.reason == NO_PLAN:
                yield variant

    def planned(self, key: VersionKey, variant: VariantRecord) -> None:
        """The variant's plan is built."""
        self._falls[key, variant.digest].pop(TENSORRT, None)

    def keep(self, versions: Mapping[VersionKey, VersionRecord]) -> None:
        """Forget what is of other versions and artifacts than these."""
        living = {(key, variant.digest) for key, record in versions.items() for variant in record.variants}
        for gone in self._falls.keys() - living:
            del self._falls[gone]

    def forget(self, model: str | None = None) -> None:
        """Give what did not work, of one model or of all, another chance. A build that goes on is waited for."""
        for (key, _), falls in self._falls.items():
            if model in (None, key.model):
                for engine in [engine for engine, fall in falls.items() if fall.reason != NO_PLAN]:
                    del falls[engine]

    def notes(self, key: VersionKey, record: VersionRecord) -> tuple[str, ...]:
        """What a version's status says of the engines that should run its variants and do not."""
        return tuple(
            f"{engine} does not run variant {variant.name}: {fall.words}"
            for variant in record.variants
            for engine, fall in self._falls.get((key, variant.digest), {}).items()
        )
