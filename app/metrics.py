"""Every metric series of the service, once.

The hot path writes plain integers and floats (prometheus_client's own children lock and validate on every call);
a collector turns them into Prometheus families when `/metrics` is read. All writes come from the event loop.
"""

import platform
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import numpy as np
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from engines.gpu_meter import GpuUse

Array = np.ndarray[Any, Any]

SECONDS_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROWS_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


class Histogram:
    """Counts by bucket, for one set of labels.

    An observation is an append to a list (40 ns; finding its bucket at once would cost ten times that), which is
    sorted into buckets when it is read, or when `fold_if_long` finds it long.
    """

    __slots__ = ("_bounds", "_counts", "_exemplars", "_fresh", "_total", "observe")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = np.array(bounds)
        self._counts = np.zeros(len(bounds) + 1, np.int64)
        self._total = 0.0
        self._exemplars: dict[int, Exemplar] = {}
        self._fresh: list[float] = []
        self.observe = self._fresh.append
        """Take a value in."""

    def take(self, value: float, count: int) -> None:
        """Take a value in that was seen `count` times."""
        self._counts[np.searchsorted(self._bounds, value)] += count
        self._total += value * count

    def exemplify(self, value: float, labels: Mapping[str, str], unix_seconds: float) -> None:
        """Name the trace of a value that was taken in. The last one of each bucket is told, in OpenMetrics' form."""
        place = int(np.searchsorted(self._bounds, value))
        self._exemplars[place] = Exemplar(dict(labels), value, unix_seconds)

    @property
    def count(self) -> int:
        """How many values were taken in."""
        self._fold()
        return int(self._counts.sum())

    @property
    def total(self) -> float:
        """Their sum."""
        self._fold()
        return self._total

    def fold_if_long(self) -> None:
        """Keep the memory of what was observed bounded; whoever observes calls this now and then."""
        if len(self._fresh) > _LONG:
            self._fold()

    def _fold(self) -> None:
        places = np.searchsorted(self._bounds, self._fresh)
        self._counts += np.bincount(places, minlength=len(self._counts))
        self._total += sum(self._fresh)
        self._fresh.clear()

    def add_to(self, family: HistogramMetricFamily, labels: list[str]) -> None:
        """Write the cumulative form Prometheus reads."""
        self._fold()
        bounds = map(floatToGoString, (*self._bounds.tolist(), float("inf")))
        buckets = [
            (bound, float(running), self._exemplars.get(place))
            for place, (bound, running) in enumerate(zip(bounds, self._counts.cumsum().tolist(), strict=True))
        ]
        family.add_metric(labels, buckets, self._total)  # type: ignore[arg-type]  # it takes None for no exemplar


# Observations that wait to be sorted into buckets, at most some more than this.
_LONG = 4096


class Batches:
    """How many batches of how many rows ran, and for how long. Takes in as cheaply as a Histogram."""

    __slots__ = ("_counts", "_fresh", "_seconds", "observe")

    def __init__(self) -> None:
        self._counts: Array = np.zeros(0, np.int64)
        self._seconds: Array = np.zeros(0)
        self._fresh: list[tuple[int, float]] = []
        self.observe = self._fresh.append
        """Take in a batch: (rows, seconds of its run)."""

    def fold_if_long(self) -> None:
        """Keep the memory of what was observed bounded."""
        if len(self._fresh) > _LONG:
            self._fold()

    def _fold(self) -> None:
        if not self._fresh:
            return
        rows, seconds = zip(*self._fresh, strict=True)
        size = max(len(self._counts), max(rows) + 1)
        self._counts = np.bincount(rows, minlength=size) + np.pad(self._counts, (0, size - len(self._counts)))
        self._seconds = np.bincount(rows, seconds, size) + np.pad(self._seconds, (0, size - len(self._seconds)))
        self._fresh.clear()

    def by_rows(self) -> dict[int, tuple[int, float]]:
        """Rows of a batch -> how many there were, and the seconds they ran in all."""
        self._fold()
        return {int(rows): (int(self._counts[rows]), float(self._seconds[rows])) for rows in self._counts.nonzero()[0]}

    def add_to(self, family: HistogramMetricFamily, labels: list[str]) -> None:
        """Write the histogram of rows that Prometheus reads."""
        histogram = Histogram(ROWS_BUCKETS)
        for rows, (count, _) in self.by_rows().items():
            histogram.take(rows, count)
        histogram.add_to(family, labels)


class Key(NamedTuple):
    """What a servable's series are labelled with; all empty where a request found no servable."""

    model: str = ""
    version: str = ""
    variant: str = ""


class Tally:
    """What happened to one servable's requests and batches."""

    __slots__ = (
        "answered_at",
        "batches",
        "cancelled",
        "compute",
        "duration",
        "failed_seconds",
        "input_seconds",
        "key",
        "pending_rows",
        "queue",
        "releases",
        "requests",
        "rows",
    )

    def __init__(self, key: Key) -> None:
        self.key = key
        self.requests: defaultdict[int, int] = defaultdict(int)  # a Counter takes three times as long to count
        self.releases: defaultdict[str, int] = defaultdict(int)
        self.duration = Histogram(SECONDS_BUCKETS)
        self.queue = Histogram(SECONDS_BUCKETS)
        self.compute = Histogram(SECONDS_BUCKETS)
        self.batches = Batches()
        self.rows = 0
        """Rows of the requests that were answered with 200."""
        self.input_seconds = 0.0
        """Of the same requests, from their headers to the hand-over of their rows."""
        self.failed_seconds = 0.0
        """The part of `duration` that went into other answers than 200."""
        self.answered_at: float | None = None
        """When the last request was answered, on perf_counter's clock."""
        self.cancelled = 0
        self.pending_rows = 0

    def fold_if_long(self) -> None:
        """Called once a batch, see Histogram."""
        for histogram in (self.duration, self.queue, self.compute, self.batches):
            histogram.fold_if_long()


class Loaded(NamedTuple):
    """A servable that was brought up, as `octet_model_*` tell it."""

    engine: str
    seconds: float
    """How long verifying, loading and warming up took."""
    instances: int
    threads: int
    """Of each instance."""
    queue_rows: int
    """The most that wait."""


class Metrics(Collector):
    """All tallies of one service, and the registry that renders them."""

    def __init__(self) -> None:
        self.tallies: dict[Key, Tally] = {}
        self.unserved = self.tally(Key())
        """Requests that never found a servable: unknown models, malformed paths."""
        self.rejected: Counter[str] = Counter()
        self.loaded: dict[Key, Loaded] = {}
        self.load_failures: Counter[tuple[str, str]] = Counter()
        self.variants_refused: Counter[tuple[str, str, str, str]] = Counter()
        """By model, version, variant and reason."""
        self.engine_fallbacks: Counter[tuple[str, str, str, str, str, str]] = Counter()
        """By model, version, variant, engine, the engine after it, and reason."""
        self.store_failures = 0
        self.jobs: Mapping[str, int] = {}
        """By state."""
        self.is_ready: Callable[[], bool] = lambda: False
        """Asked at each scrape."""
        self.read_gpus: Callable[[], Sequence[GpuUse]] = tuple
        """Asked at each scrape; where it gives nothing, no series tells of GPUs."""
        self.registry = CollectorRegistry()
        self.registry.register(self)
        for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            self.registry.register(collector)

    def tally(self, key: Key) -> Tally:
        """The tally of these labels. One that was retired and loaded again goes on counting where it stopped."""
        return self.tallies.setdefault(key, Tally(key))

    def collect(self) -> Iterator[Metric]:
        """Called by the registry at each scrape."""
        yield from self._requests()
        yield from self._models()
        yield from self._gpus()
        yield InfoMetricFamily(
            "octet_build",
            "Versions of what is running.",
            {
                "version": version("octet-serving"),
                "python": platform.python_version(),
                "onnxruntime": _onnxruntime_version(),
            },
        )

    def _requests(self) -> Iterator[Metric]:
        labels = list(Key._fields)
        requests = CounterMetricFamily("octet_requests", "Inference requests answered.", labels=[*labels, "code"])
        releases = CounterMetricFamily("octet_batch_release", "Batches formed.", labels=[*labels, "reason"])
        cancelled = CounterMetricFamily("octet_cancelled", "Requests whose client went away.", labels=labels)
        pending = GaugeMetricFamily("octet_pending_rows", "Rows that wait for a batch.", labels=labels)
        histograms = {
            "duration": ("octet_request_duration_seconds", "From the headers of a request to its answer."),
            "queue": ("octet_queue_duration_seconds", "From the end of decoding to the start of the batch."),
            "compute": ("octet_compute_duration_seconds", "The engine's run of the batch the request was in."),
            "batches": ("octet_batch_rows", "Rows in a batch."),
        }
        families = {field: HistogramMetricFamily(*names, labels=labels) for field, names in histograms.items()}
        for key, tally in self.tallies.items():
            for code, count in tally.requests.items():
                requests.add_metric([*key, str(code)], count)
            for reason, count in tally.releases.items():
                releases.add_metric([*key, reason], count)
            cancelled.add_metric(key, tally.cancelled)
            pending.add_metric(key, tally.pending_rows)
            for field, family in families.items():
                getattr(tally, field).add_to(family, list(key))
        rejected = CounterMetricFamily(
            "octet_rejected", "Inference requests answered with an error, by its code.", labels=["reason"]
        )
        for reason, count in self.rejected.items():
            rejected.add_metric([reason], count)
        yield from (requests, releases, cancelled, pending, rejected, *families.values())

    def _models(self) -> Iterator[Metric]:
        labels = list(Key._fields)
        info = InfoMetricFamily("octet_model", "Variants that are loaded.", labels=labels)
        seconds = GaugeMetricFamily(
            "octet_model_load_duration_seconds", "How long verifying, loading and warming up took.", labels=labels
        )
        instances = GaugeMetricFamily("octet_model_instances", "Engine workers of the variant.", labels=labels)
        threads = GaugeMetricFamily("octet_model_threads", "Threads of each engine worker.", labels=labels)
        queue_limit = GaugeMetricFamily(
            "octet_queue_limit_rows",
            "Most rows that may wait for a batch; what comes beyond gets a 503.",
            labels=labels,
        )
        for key, loaded in self.loaded.items():
            info.add_metric(key, {"engine": loaded.engine})
            seconds.add_metric(key, loaded.seconds)
            instances.add_metric(key, loaded.instances)
            threads.add_metric(key, loaded.threads)
            queue_limit.add_metric(key, loaded.queue_rows)
        failures = CounterMetricFamily(
            "octet_model_load_failures", "Versions that could not be loaded.", labels=["model", "version"]
        )
        for (model, model_version), count in self.load_failures.items():
            failures.add_metric([model, model_version], count)
        refused = CounterMetricFamily(
            "octet_variant_refused",
            "Variants that should have served and did not, the next one does.",
            labels=[*labels, "reason"],
        )
        for names, count in self.variants_refused.items():
            refused.add_metric(names, count)
        fallbacks = CounterMetricFamily(
            "octet_engine_fallback",
            "Variants that the engine which should run them does not, the next one does.",
            labels=[*labels, "from", "to", "reason"],
        )
        for fall, count in self.engine_fallbacks.items():
            fallbacks.add_metric(fall, count)
        store = CounterMetricFamily("octet_store_failures", "Looks at the store that failed.", self.store_failures)
        jobs = GaugeMetricFamily("octet_jobs", "Jobs that are remembered, by their state.", labels=["state"])
        for state, count in self.jobs.items():
            jobs.add_metric([state], count)
        ready = GaugeMetricFamily(
            "octet_ready", "Whether every model to be served can answer: 1, or 0.", int(self.is_ready())
        )
        yield from (ready, info, seconds, instances, threads, queue_limit, failures, refused, fallbacks, store, jobs)

    def _gpus(self) -> Iterator[Metric]:
        labels = ["gpu", "name"]
        used = GaugeMetricFamily("octet_gpu_memory_used_bytes", "Memory in use, whoever uses it.", labels=labels)
        total = GaugeMetricFamily("octet_gpu_memory_total_bytes", "Memory that the GPU has.", labels=labels)
        busy = GaugeMetricFamily(
            "octet_gpu_utilization_ratio", "Share of the last second in which a kernel ran, whoever's.", labels=labels
        )
        for gpu in self.read_gpus():
            names = [str(gpu.index), gpu.name]
            used.add_metric(names, gpu.used_bytes)
            total.add_metric(names, gpu.total_bytes)
            if gpu.busy is not None:
                busy.add_metric(names, gpu.busy)
        yield from (family for family in (used, total, busy) if family.samples)


def _onnxruntime_version() -> str:
    """That of the distribution for processors, or of the one for GPUs, which takes its place."""
    try:
        return version("onnxruntime")
    except PackageNotFoundError:
        return version("onnxruntime-gpu")
