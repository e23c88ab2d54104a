"""The service as one `async with`: what it owns, in the order it comes up and goes down."""

import asyncio
import itertools
import re
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from app.control.jobs import Jobs
from app.control.rungs import has_gpu
from app.control.unloaded import Unloaded
from app.control.watch import Watch
from app.errors import QueueFull
from app.logs import Levels
from app.metrics import Metrics
from app.protocols.codec import Codec, Decoded
from app.protocols.shared_memory import Regions
from app.protocols.triton_metrics import TritonMetrics
from app.protocols.triton_trace import Traces
from app.serving.table import Table
from app.settings import Settings, SettingsError
from engines.engine import Engine, OpenEngine
from engines.errors import LoadError
from engines.gpu_meter import GpuMeter
from engines.onnxruntime_engine import load as open_onnxruntime
from engines.signature import Signature
from model_store.store import Store

if TYPE_CHECKING:
    from app.tracing import Tracing


def open_onnxruntime_cuda(path: Path, signature: Signature, *, instances: int, threads: int) -> Engine:
    """What runs ONNX files on a GPU beside TensorRT: imported where there is one. Raises LoadError."""
    from engines.onnxruntime_cuda_engine import load

    return load(path, signature, instances=instances, threads=threads)


def open_openvino(path: Path, signature: Signature, *, instances: int, threads: int) -> Engine:
    """An engine that is an extra: imported by the first variant that needs it. Raises LoadError."""
    try:
        from engines.openvino_engine import load
    except ModuleNotFoundError:
        raise _not_installed("OpenVINO", "openvino") from None
    return load(path, signature, instances=instances, threads=threads)


def open_litert(path: Path, signature: Signature, *, instances: int, threads: int) -> Engine:
    """An extra too. Raises LoadError."""
    try:
        from engines.litert_engine import load
    except ModuleNotFoundError:
        raise _not_installed("LiteRT", "litert") from None
    return load(path, signature, instances=instances, threads=threads)


def _not_installed(library: str, extra: str) -> LoadError:
    return LoadError(
        f"the variant needs {library}, which is not installed here: install octet-serving[{extra}], or "
        f"requirements/{extra}.txt"
    )


def start_tracing(settings: Settings, log: structlog.typing.FilteringBoundLogger) -> "Tracing | None":
    """An extra as well: imported where the settings ask for it. Raises SettingsError."""
    if settings.otlp_endpoint is None:
        return None
    try:
        from app.tracing import Tracing
    except ModuleNotFoundError:
        raise SettingsError(
            "otlp_endpoint is set, and OpenTelemetry is not installed here: install octet-serving[otel], or "
            "requirements/otel.txt"
        ) from None
    return Tracing(str(settings.otlp_endpoint), version("octet-serving"), log)


OPEN_ENGINES: dict[str, OpenEngine] = {
    "onnxruntime": open_onnxruntime,
    "onnxruntime-cuda": open_onnxruntime_cuda,
    "openvino": open_openvino,
    "litert": open_litert,
}
"""Engine -> how a variant is opened in it. TensorRT, which needs plans, is `control.bring_up`'s affair."""

_MOST_HELD_BODIES = 4
_LEAST_HELD_BYTES = 64 << 20

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")


class Service:
    """What the doors share."""

    def __init__(self, settings: Settings, store: Store, levels: Levels, unloaded: Unloaded | None = None) -> None:
        self.settings = settings
        self.store = store
        self.version = version("octet-serving")
        self.max_body_bytes = int(settings.max_body_bytes)
        self.table = Table()
        self.metrics = Metrics()
        self.metrics.is_ready = lambda: self.ready
        if settings.metrics_compat == "triton":
            self.metrics.registry.register(TritonMetrics(self.metrics.tallies))
        self._gpu_meter = GpuMeter()
        self.metrics.read_gpus = self._gpu_meter.read
        self.log = structlog.get_logger("octet")
        self.levels = levels
        self.traces = Traces()
        """Triton's, in the log."""
        self.tracing = start_tracing(settings, self.log)
        """OpenTelemetry's."""
        self.observes_requests = False
        """Whether somebody wants to read of single requests."""
        self.observe()
        self.regions = Regions(enabled=settings.shared_memory, limit_bytes=self.max_body_bytes)
        self.watch = Watch(
            store,
            settings,
            OPEN_ENGINES,
            self.table,
            self.metrics,
            self.log,
            has_gpu=has_gpu(),
            tracing=self.tracing,
            unloaded=unloaded,
        )
        self.jobs = Jobs(store, settings, self.metrics, self.log)
        self.draining = False
        """Once true, what is in flight is finished and nothing new is taken up."""
        self.left_behind = False
        """Whether a load was still going on at the end, in a thread that cannot be stopped."""
        self._in_flight = 0
        self._held_bytes = 0
        self._most_held_bytes = max(_MOST_HELD_BODIES * self.max_body_bytes, _LEAST_HELD_BYTES)
        self._quiet = asyncio.Event()
        self._decoder = ThreadPoolExecutor(1, "octet-decoder")
        self._ids = itertools.count(1)
        self._id_prefix = secrets.token_hex(6).encode()

    @property
    def ready(self) -> bool:
        """Whether every model to be served can answer."""
        table = self.table
        return not self.draining and table.complete and all(model.ready for model in table.to_be_served)

    def observe(self) -> None:
        """Called when the log's levels or the traces were changed."""
        self.observes_requests = self.tracing is not None or self.logs_requests

    @property
    def logs_requests(self) -> bool:
        """Whether the log may have to have a line of each."""
        return self.levels.verbose > 0 or self.traces.on

    def call_opened(self) -> None:
        """An inference request has its headers."""
        self._in_flight += 1

    def call_answered(self) -> None:
        """It has its answer; called once for every `call_opened`."""
        self._in_flight -= 1
        if self.draining and not self._in_flight:
            self._quiet.set()

    def hold(self, size_bytes: int) -> None:
        """So many bytes more of large bodies wait to be decoded; fewer where negative.

        Raises QueueFull where there would be too many, and counts none then.
        """
        held_bytes = self._held_bytes + size_bytes
        if size_bytes > 0 and held_bytes > self._most_held_bytes:
            raise QueueFull(
                f"large bodies fill the {self._most_held_bytes} bytes that there are for those not decoded yet: "
                "try again, or send fewer rows a request"
            )
        self._held_bytes = held_bytes

    async def drain(self) -> None:
        """Be not ready, and wait for what is in flight, at most `drain_seconds`."""
        self.draining = True
        self.log.info("draining", in_flight=self._in_flight)
        if self._in_flight:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.settings.drain_seconds):
                    await self._quiet.wait()

    def close(self) -> None:
        """Decode nothing more, let go of the clients' memory and of the GPUs' driver."""
        self._decoder.shutdown(wait=False, cancel_futures=True)
        self.regions.close()
        self._gpu_meter.close()

    def decode_apart(self, codec: Codec, body: bytes, json_bytes: int | None) -> "asyncio.Future[Decoded]":
        """Decode a large body outside the event loop. One at a time: it may take fifty times the body's memory."""
        return asyncio.get_running_loop().run_in_executor(self._decoder, codec.decode_exactly, body, json_bytes)

    def request_id(self, given: bytes | None = None) -> bytes:
        """The client's own id where it can be echoed safely, else a new one."""
        if given and _REQUEST_ID.fullmatch(given):
            return given
        return b"%b-%x" % (self._id_prefix, next(self._ids))


@asynccontextmanager
async def running(settings: Settings, levels: Levels, unloaded: Unloaded | None = None) -> AsyncIterator[Service]:
    """Open the store, watch it, serve what it holds; on the way out drain and free everything.

    `unloaded` is what this process shares with others, where it is one of several.
    """
    with Store.open(settings.store) as store:
        service = Service(settings, store, levels, unloaded)
        watching = asyncio.create_task(service.watch.run())
        try:
            async with service.jobs:
                yield service
        finally:
            service.draining = True
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            service.left_behind = not await service.watch.close()
            if service.tracing is not None:
                await asyncio.to_thread(service.tracing.close)
            service.close()
