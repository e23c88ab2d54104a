"""Triton's series, out of the tallies."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_open_metrics
from prometheus_client.parser import text_string_to_metric_families

from app.metrics import Key, Metrics, Tally
from app.protocols.triton_metrics import TritonMetrics


def answered(tally: Tally, requests: int, rows: int, seconds: float) -> None:
    """So many requests of some rows each, one after the other: a tenth waited, the half of it ran."""
    tally.requests[200] += requests
    for _ in range(requests):
        tally.rows += rows
        tally.duration.observe(seconds)
        tally.queue.observe(seconds / 10)
        tally.compute.observe(seconds / 2)
        tally.input_seconds += seconds / 5
        tally.batches.observe((rows, seconds / 2))


@pytest.fixture
def registry() -> CollectorRegistry:
    metrics = Metrics()
    answered(metrics.tally(Key("m", "1.0.0", "fp32")), 2, 3, 0.01)
    answered(metrics.tally(Key("m", "1.0.0", "int8")), 1, 4, 0.02)
    answered(metrics.tally(Key("m", "2.0.0", "fp32")), 1, 1, 0.03)
    refused = metrics.tally(Key("m", "1.0.0", "int8"))
    refused.requests[400] += 1
    refused.duration.observe(0.5)
    refused.failed_seconds += 0.5
    metrics.unserved.requests[404] += 7
    registry = CollectorRegistry()
    registry.register(TritonMetrics(metrics.tallies))
    return registry


def test_the_variants_of_a_version_are_summed_and_failures_take_no_time(registry: CollectorRegistry) -> None:
    found = {
        (sample.name.removeprefix("nv_inference_"), sample.labels["version"]): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }
    assert found == {
        ("request_success", "1.0.0"): 3,
        ("request_failure", "1.0.0"): 1,
        ("count", "1.0.0"): 10,
        ("exec_count", "1.0.0"): 3,
        ("request_duration_us", "1.0.0"): 40_000,
        ("queue_duration_us", "1.0.0"): 4_000,
        ("compute_input_duration_us", "1.0.0"): 8_000,
        ("compute_infer_duration_us", "1.0.0"): 20_000,
        ("compute_output_duration_us", "1.0.0"): 8_000,
        ("request_success", "2.0.0"): 1,
        ("request_failure", "2.0.0"): 0,
        ("count", "2.0.0"): 1,
        ("exec_count", "2.0.0"): 1,
        ("request_duration_us", "2.0.0"): 30_000,
        ("queue_duration_us", "2.0.0"): 3_000,
        ("compute_input_duration_us", "2.0.0"): 6_000,
        ("compute_infer_duration_us", "2.0.0"): 15_000,
        ("compute_output_duration_us", "2.0.0"): 6_000,
    }


def test_names_are_the_same_in_both_forms_of_the_page(registry: CollectorRegistry) -> None:
    """Prometheus asks for OpenMetrics, in which a counter would be given another name."""

    def samples(page: bytes) -> set[str]:
        return {line for line in page.decode().splitlines() if not line.startswith("#")}

    assert samples(generate_open_metrics(registry)) == samples(generate_latest(registry))
