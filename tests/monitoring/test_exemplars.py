"""From a histogram in a real Prometheus to the trace that a real collector got."""

from pathlib import Path

import pytest

from tests import graphs
from tests.monitoring.prometheus import Prometheus
from tests.service.collector import Collector
from tests.service.conftest import store_at
from tests.service.process import Octet, eventually


def test_prometheus_knows_the_trace_of_a_latency(tmp_path: Path) -> None:
    with store_at(tmp_path / "store") as publish:
        publish("m", "1.0.0", graphs.adding(1))
    found = {}
    with Collector() as collector, Octet(tmp_path, tmp_path / "store", "--otlp-endpoint", collector.url) as octet:
        octet.rows("m", [[1, 2]])
        with Prometheus(tmp_path, f"127.0.0.1:{octet.port}", "--enable-feature=exemplar-storage") as prometheus:
            for part in ("request", "queue", "compute"):
                series = f"octet_{part}_duration_seconds_bucket"
                (found[part],) = eventually(lambda series=series: prometheus.exemplars(series), "it has asked")
        octet.stop()
    (span,) = collector.requests
    assert [exemplar["labels"] for exemplar in found.values()] == 3 * [
        {"trace_id": span.trace_id, "span_id": span.span_id}
    ]
    values = {part: float(exemplar["value"]) for part, exemplar in found.items()}
    assert values == pytest.approx(
        {
            "request": (span.end_ns - span.start_ns) / 1e9,
            "queue": span.attributes["octet.queue_seconds"],
            "compute": span.attributes["octet.compute_seconds"],
        }
    )
