"""Triton's `nv_inference_*` series, so that dashboards and alerts made for Triton go on working.

Their names lack the `_total` that the OpenMetrics form asks of a counter, so they are of unknown type there; what
Prometheus computes from them is the same. Triton knows no variants: those of a version are summed.
Source: `docs/user_guide/metrics.md` in triton-inference-server/server.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from prometheus_client.metrics_core import UnknownMetricFamily
from prometheus_client.registry import Collector

from app.metrics import Key, Tally
from app.protocols.triton_statistics import inference_stats

_HELP = {
    "request_success": "Requests that were answered.",
    "request_failure": "Requests that failed.",
    "count": "Rows that were answered.",
    "exec_count": "Batches that ran.",
    "request_duration_us": "From the headers of the requests to their answers, in microseconds.",
    "queue_duration_us": "Time that requests waited for a batch, in microseconds.",
    "compute_input_duration_us": "Time in which inputs were read and decoded, in microseconds.",
    "compute_infer_duration_us": "The engine's runs of the batches that the requests were in, in microseconds.",
    "compute_output_duration_us": "Time in which answers were encoded and written, in microseconds.",
}


class TritonMetrics(Collector):
    """Reads the tallies whenever `/metrics` is."""

    def __init__(self, tallies: Mapping[Key, Tally]) -> None:
        self._tallies = tallies

    def collect(self) -> Iterator[UnknownMetricFamily]:
        """Called by the registry at each scrape."""
        sums: defaultdict[tuple[str, str], defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        for key, tally in self._tallies.items():
            for name, number in _numbers(tally).items() if key.model else ():
                sums[key.model, key.version][name] += number
        for name, text in _HELP.items():
            family = UnknownMetricFamily(f"nv_inference_{name}", text, labels=["model", "version"])
            for labels, numbers in sums.items():
                family.add_metric(labels, numbers[name])
            yield family


def _numbers(tally: Tally) -> dict[str, float]:
    stats = inference_stats(tally)
    counts = {
        "request_success": stats["success"]["count"],
        "request_failure": stats["fail"]["count"],
        "count": tally.rows,
        "exec_count": sum(count for count, _ in tally.batches.by_rows().values()),
        "request_duration_us": stats["success"]["ns"] / 1000,
    }
    parts = ("queue", "compute_input", "compute_infer", "compute_output")
    return counts | {f"{part}_duration_us": stats[part]["ns"] / 1000 for part in parts}
