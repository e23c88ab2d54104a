"""The page that Prometheus reads, read by Prometheus's own parser."""

from collections import Counter
from importlib.metadata import PackageNotFoundError
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Timestamp

from app.metrics import _LONG, ROWS_BUCKETS, SECONDS_BUCKETS, Batches, Histogram, Key, Loaded, Metrics
from engines.gpu_meter import GpuUse

Labels = tuple[tuple[str, str], ...]
KEY = Key("digits", "1.2.3", "int8")
OF_KEY = {"model": "digits", "version": "1.2.3", "variant": "int8"}


def page(metrics: Metrics) -> dict[str, dict[Labels, float]]:
    """Sample name -> labels, sorted -> value."""
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for sample in family.samples:
            series = found.setdefault(sample.name, {})
            labels = labelled(sample.labels)
            assert labels not in series, "a series stands once on the page"
            series[labels] = sample.value
    return found


def own_lines(metrics: Metrics) -> list[bytes]:
    """What the page says of Octet itself."""
    return [line for line in generate_latest(metrics.registry).splitlines() if b"octet_" in line]


def labelled(labels: dict[str, str], **more: str) -> Labels:
    return tuple(sorted((labels | more).items()))


def busy() -> Metrics:
    metrics = Metrics()
    tally = metrics.tally(KEY)
    tally.requests[200] += 3
    tally.requests[503] += 1
    tally.releases["idle"] += 2
    tally.releases["full"] += 1
    tally.cancelled += 1
    tally.pending_rows = 7
    tally.duration.observe(0.002)
    tally.queue.observe(0.0001)
    tally.compute.observe(0.0005)
    tally.batches.observe((3, 0.5))
    metrics.rejected["queue_full"] += 1
    metrics.loaded[KEY] = Loaded("onnxruntime 1.0", 0.25, 2, 1, 1024)
    metrics.load_failures["digits", "2.0.0"] += 1
    metrics.engine_fallbacks[*KEY, "tensorrt", "onnxruntime-cuda", "load"] += 1
    metrics.read_gpus = lambda: [GpuUse(0, "H100", 3, 8, 0.4), GpuUse(1, "a slice", 1, 4, None)]
    metrics.store_failures += 1
    return metrics


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("octet_requests_total", OF_KEY | {"code": "200"}, 3),
        ("octet_requests_total", OF_KEY | {"code": "503"}, 1),
        ("octet_batch_release_total", OF_KEY | {"reason": "idle"}, 2),
        ("octet_batch_release_total", OF_KEY | {"reason": "full"}, 1),
        ("octet_cancelled_total", OF_KEY, 1),
        ("octet_pending_rows", OF_KEY, 7),
        ("octet_request_duration_seconds_count", OF_KEY, 1),
        ("octet_request_duration_seconds_sum", OF_KEY, 0.002),
        ("octet_request_duration_seconds_bucket", OF_KEY | {"le": "0.001"}, 0),
        ("octet_request_duration_seconds_bucket", OF_KEY | {"le": "0.0025"}, 1),
        ("octet_queue_duration_seconds_sum", OF_KEY, 0.0001),
        ("octet_compute_duration_seconds_bucket", OF_KEY | {"le": "0.0005"}, 1),
        ("octet_batch_rows_bucket", OF_KEY | {"le": "2.0"}, 0),
        ("octet_batch_rows_bucket", OF_KEY | {"le": "4.0"}, 1),
        ("octet_batch_rows_sum", OF_KEY, 3),
        ("octet_rejected_total", {"reason": "queue_full"}, 1),
        ("octet_model_info", OF_KEY | {"engine": "onnxruntime 1.0"}, 1),
        ("octet_model_load_duration_seconds", OF_KEY, 0.25),
        ("octet_model_load_failures_total", {"model": "digits", "version": "2.0.0"}, 1),
        ("octet_store_failures_total", {}, 1),
        ("octet_engine_fallback_total", OF_KEY | {"from": "tensorrt", "to": "onnxruntime-cuda", "reason": "load"}, 1),
        ("octet_gpu_memory_used_bytes", {"gpu": "0", "name": "H100"}, 3),
        ("octet_gpu_memory_total_bytes", {"gpu": "1", "name": "a slice"}, 4),
        ("octet_gpu_utilization_ratio", {"gpu": "0", "name": "H100"}, 0.4),
    ],
)
def test_a_series_carries_what_was_counted(name: str, labels: dict[str, str], value: float) -> None:
    assert page(busy())[name][labelled(labels)] == value


def test_the_build_is_on_the_page() -> None:
    ((labels, value),) = page(Metrics())["octet_build_info"].items()
    assert {name for name, _ in labels} == {"version", "python", "onnxruntime"}
    assert all(text for _, text in labels)
    assert value == 1


def test_the_build_is_told_where_the_onnxruntime_is_the_one_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(distribution: str) -> str:
        installed = {"octet-serving": "0.1.0", "onnxruntime-gpu": "1.31.1"}
        if distribution not in installed:
            raise PackageNotFoundError(distribution)
        return installed[distribution]

    monkeypatch.setattr("app.metrics.version", version)
    ((labels, _),) = page(Metrics())["octet_build_info"].items()
    assert dict(labels)["onnxruntime"] == "1.31.1"


def test_every_series_of_octet_has_a_help_text_and_a_type() -> None:
    for family in text_string_to_metric_families(generate_latest(busy().registry).decode()):
        if family.name.startswith("octet_"):
            assert family.documentation.endswith("."), family.name
            assert family.type != "unknown", family.name


def test_requests_that_found_no_model_are_counted_without_labels() -> None:
    metrics = Metrics()
    metrics.unserved.requests[404] += 1
    nobody = {"model": "", "version": "", "variant": "", "code": "404"}
    assert page(metrics)["octet_requests_total"] == {labelled(nobody): 1}


def test_a_version_that_comes_back_goes_on_counting() -> None:
    metrics = Metrics()
    metrics.tally(KEY).requests[200] += 1
    metrics.tally(KEY).requests[200] += 1
    assert page(metrics)["octet_requests_total"] == {labelled(OF_KEY, code="200"): 2}


def test_odd_names_are_escaped() -> None:
    metrics = Metrics()
    name = 'a"b\\c\nd'
    metrics.tally(Key(name, "1.0.0", "fp32")).requests[200] += 1
    assert (("code", "200"), ("model", name)) == next(iter(page(metrics)["octet_requests_total"]))[:2]


def test_the_buckets_are_those_that_dashboards_expect() -> None:
    wanted = "0.0005 0.001 0.0025 0.005 0.0075 0.01 0.025 0.05 0.075 0.1 0.25 0.5 1 2.5 5 10"
    assert [float(bound) for bound in wanted.split()] == list(SECONDS_BUCKETS)
    bounds = [
        dict(labels)["le"]
        for labels in page(busy())["octet_request_duration_seconds_bucket"]
        if ("model", "digits") in labels
    ]
    assert [float(bound) for bound in bounds] == [*SECONDS_BUCKETS, inf]


class Family:
    """Keeps what a histogram writes to its family."""

    def add_metric(self, labels: list[str], buckets: list[tuple[str, float, Any]], total: float) -> None:
        self.labels, self.buckets, self.total = labels, buckets, total


@given(st.sampled_from([SECONDS_BUCKETS, ROWS_BUCKETS]), st.data())
def test_buckets_count_all_that_is_no_larger(bounds: tuple[float, ...], data: st.DataObject) -> None:
    values = data.draw(st.lists(st.sampled_from(bounds) | st.floats(0, 2000), max_size=50))
    histogram, family = Histogram(bounds), Family()
    written: Any = family
    for value in values:
        histogram.observe(value)
        if data.draw(st.booleans()):
            histogram.add_to(written, ["read in between"])
    histogram.add_to(written, ["a"])
    assert family.labels == ["a"]
    assert [count for _, count, _ in family.buckets] == [sum(v <= bound for v in values) for bound in (*bounds, inf)]
    assert family.buckets[-1][0] == "+Inf"
    assert family.total == pytest.approx(sum(values))


@given(st.data())
def test_what_is_taken_many_times_counts_as_often(data: st.DataObject) -> None:
    """Taken in one by one or by the number, read in between or not: the same histogram."""
    bounds = data.draw(st.sampled_from([SECONDS_BUCKETS, ROWS_BUCKETS]))
    histogram, family = Histogram(bounds), Family()
    written: Any = family
    seen: Counter[float] = Counter()
    for _ in range(data.draw(st.integers(0, 20))):
        value = data.draw(st.sampled_from(bounds) | st.floats(0, 2000))
        times = data.draw(st.integers(0, 5))
        seen[value] += times
        if data.draw(st.booleans()):
            histogram.take(value, times)
        else:
            for _ in range(times):
                histogram.observe(value)
        if data.draw(st.booleans()):
            assert histogram.count == seen.total()
            assert histogram.total == pytest.approx(sum(seen.elements()))
    histogram.add_to(written, [])
    assert [count for _, count, _ in family.buckets] == [
        sum(times for value, times in seen.items() if value <= bound) for bound in (*bounds, inf)
    ]
    assert (histogram.count, family.total) == (seen.total(), pytest.approx(sum(seen.elements())))


ran = st.tuples(st.integers(0, 70) | st.sampled_from([128, 1024, 5000]), st.floats(0, 100))


@given(st.lists(ran, max_size=60), st.data())
def test_batches_are_counted_by_their_rows(batches: list[tuple[int, float]], data: st.DataObject) -> None:
    counted, seconds = Counter[int](), Counter[int]()
    tally = Batches()
    for rows, duration in batches:
        tally.observe((rows, duration))
        counted[rows] += 1
        seconds[rows] += duration
        if data.draw(st.booleans()):
            assert {rows: count for rows, (count, _) in tally.by_rows().items()} == counted
    found = tally.by_rows()
    assert {rows: count for rows, (count, _) in found.items()} == counted
    assert {rows: spent for rows, (_, spent) in found.items()} == pytest.approx(dict(seconds))
    assert list(found) == sorted(found)
    family = Family()
    written: Any = family
    tally.add_to(written, ["a"])
    assert family.labels == ["a"]
    assert [count for _, count, _ in family.buckets] == [
        sum(count for rows, count in counted.items() if rows <= bound) for bound in (*ROWS_BUCKETS, inf)
    ]
    assert family.total == sum(rows * count for rows, count in counted.items())


def test_what_waits_to_be_counted_is_bounded() -> None:
    histogram, batches = Histogram(SECONDS_BUCKETS), Batches()
    for number in range(3 * _LONG):
        histogram.observe(0.25)
        batches.observe((number % 3, 0.5))
        for one in (histogram, batches):
            one.fold_if_long()
            assert len(one._fresh) <= _LONG
    assert (histogram.count, histogram.total) == (3 * _LONG, 0.25 * 3 * _LONG)
    assert batches.by_rows() == dict.fromkeys(range(3), (_LONG, 0.5 * _LONG))


def test_without_a_gpu_there_is_no_series_of_one() -> None:
    assert not [name for name in page(Metrics()) if name.startswith("octet_gpu")]


BUCKETS = st.sampled_from([SECONDS_BUCKETS, ROWS_BUCKETS])


@given(BUCKETS, st.lists(st.sampled_from([*SECONDS_BUCKETS, *ROWS_BUCKETS]) | st.floats(0, 2000), max_size=50))
def test_the_last_trace_of_each_bucket_is_kept(bounds: tuple[float, ...], values: list[float]) -> None:
    histogram, family = Histogram(bounds), Family()
    written: Any = family
    last: dict[float, tuple[dict[str, str], float, float]] = {}
    for number, value in enumerate(values):
        histogram.observe(value)
        histogram.exemplify(value, {"trace_id": f"{number:032x}"}, number)
        last[next(bound for bound in (*bounds, inf) if value <= bound)] = (
            {"trace_id": f"{number:032x}"},
            value,
            number,
        )
    histogram.add_to(written, [])
    assert {float(bound): tuple(exemplar) for bound, _, exemplar in family.buckets if exemplar} == last


def test_a_trace_is_told_in_the_form_of_openmetrics_alone() -> None:
    metrics = busy()
    plain = own_lines(metrics)
    ids = {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}
    metrics.tally(KEY).duration.exemplify(0.002, ids, 1795544671.715)
    assert own_lines(metrics) == plain
    page = openmetrics.generate_latest(metrics.registry).decode()
    assert page.endswith("# EOF\n")
    found = [
        (sample.name, sample.labels["le"], sample.exemplar)
        for family in openmetrics_families(page)
        for sample in family.samples
        if sample.exemplar
    ]
    assert found == [
        ("octet_request_duration_seconds_bucket", "0.0025", (ids, 0.002, Timestamp(1795544671, 715000000)))
    ]
