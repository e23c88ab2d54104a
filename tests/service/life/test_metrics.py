"""The metrics page: what Prometheus reads agrees with what was sent."""

import subprocess
from collections.abc import Iterator
from math import inf

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests import graphs
from tests.service.conftest import Publish, Start, put_refused, store_at
from tests.service.networks import slow
from tests.service.process import Octet, alive, eventually
from tests.service.wire import request

SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, inf]
OF_SERVABLE = {"model", "version", "variant"}
# Every series of the service: its type and its labels.
SERIES = {
    "octet_requests": ("counter", OF_SERVABLE | {"code"}),
    "octet_request_duration_seconds": ("histogram", OF_SERVABLE),
    "octet_queue_duration_seconds": ("histogram", OF_SERVABLE),
    "octet_compute_duration_seconds": ("histogram", OF_SERVABLE),
    "octet_batch_rows": ("histogram", OF_SERVABLE),
    "octet_batch_release": ("counter", OF_SERVABLE | {"reason"}),
    "octet_pending_rows": ("gauge", OF_SERVABLE),
    "octet_rejected": ("counter", {"reason"}),
    "octet_cancelled": ("counter", OF_SERVABLE),
    "octet_ready": ("gauge", set()),
    "octet_model_instances": ("gauge", OF_SERVABLE),
    "octet_model_threads": ("gauge", OF_SERVABLE),
    "octet_queue_limit_rows": ("gauge", OF_SERVABLE),
    "octet_model_info": ("gauge", OF_SERVABLE | {"engine"}),
    "octet_model_load_duration_seconds": ("gauge", OF_SERVABLE),
    "octet_model_load_failures": ("counter", {"model", "version"}),
    "octet_store_failures": ("counter", set()),
    "octet_variant_refused": ("counter", set()),
    "octet_engine_fallback": ("counter", set()),
    "octet_jobs": ("gauge", set()),
    "octet_build_info": ("gauge", {"version", "python", "onnxruntime"}),
}
M = {"model": "m", "version": "1.0.0", "variant": "fp32"}
SLOW = M | {"model": "slow"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Octet]:
    """A server that has answered one request of every outcome, and that cannot load one of its models."""
    folder = tmp_path_factory.mktemp("metrics")
    with store_at(folder / "store") as publish:
        publish("m", "1.0.0", graphs.adding(1))
        store = publish("slow", "1.0.0", slow())
        put_refused(store, "broken", "1.0.0", folder)
    flags = ("--max-body-bytes", "1000", "--queue-rows", "8", "--drain-seconds", "0")
    with Octet(folder, folder / "store", *flags) as server:
        send_one_of_each(server)
        yield server


def send_one_of_each(server: Octet) -> None:
    """Three answers of 1, 2 and 3 rows; then what is refused, and a client that goes away."""
    for rows in (1, 2, 3):
        assert len(server.rows("m", [[0, 0]] * rows)) == rows
    assert server.predict("m", {"instances": [[0]]}).status_code == 400
    assert server.predict("m", {"instances": [[0, 0]] * 9}).status_code == 413
    assert server.client.post("/v1/models/m:predict", content=b"0" * 1001).status_code == 413
    assert server.predict("m", {}, headers={"content-encoding": "br"}).status_code == 415
    assert server.predict("m/versions/9", {}).status_code == 404
    assert server.predict("m/labels/nobody", {}).status_code == 400
    assert server.predict("broken", {}).status_code == 503
    late = server.predict("slow", {"instances": [300]}, headers={"x-request-timeout-ms": "1"})
    assert late.status_code == 504
    assert server.rows("slow", [0]) == [0], "its run is over as well, and the worker idle"
    running, goes, other = alive(server.connect()), alive(server.connect()), alive(server.connect())
    running.send(request({"instances": [4000]}, "/v1/models/slow:predict"))
    alive(other)
    goes.send(request({"instances": [0]}, "/v1/models/slow:predict"))
    pending = 'octet_pending_rows{model="slow",variant="fp32",version="1.0.0"}'
    eventually(lambda: server.sample(pending) == 1, "one runs and one waits")
    full = server.predict("slow", {"instances": [0] * 8})
    assert full.status_code == 503
    goes.socket.close()
    eventually(lambda: server.sample(pending) == 0, "the one that waited is gone")
    assert running.answer().status == 200


def samples(server: Octet, name: str, labels: dict[str, str]) -> list[Sample]:
    """The samples of this name that carry these labels."""
    page = server.get("/metrics").text
    every = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
    return [one for one in every if one.name == name and labels.items() <= one.labels.items()]


def value(server: Octet, name: str, **labels: str) -> float:
    (found,) = samples(server, name, labels)
    return found.value


def test_promtool_finds_nothing_wrong(server: Octet) -> None:
    page = server.get("/metrics").content
    try:
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=page, capture_output=True, timeout=30, check=False
        )
    except FileNotFoundError:
        pytest.fail("promtool is missing: install the Debian package prometheus")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_every_series_has_its_type_and_labels(server: Octet) -> None:
    families = {family.name: family for family in text_string_to_metric_families(server.get("/metrics").text)}
    found = {
        name: (family.type, {key for sample in family.samples for key in sample.labels} - {"le"})
        for name, family in families.items()
        if name.startswith("octet_")
    }
    assert found == SERIES
    assert {"process_resident_memory_bytes", "process_open_fds", "python_info"} <= families.keys()
    for name, family in families.items():
        assert family.documentation, name


@pytest.mark.parametrize("name", ["request", "queue", "compute"])
def test_durations_have_the_promised_buckets(server: Octet, name: str) -> None:
    buckets = samples(server, f"octet_{name}_duration_seconds_bucket", M)
    assert [float(bucket.labels["le"]) for bucket in buckets] == SECONDS
    counts = [bucket.value for bucket in buckets]
    assert counts == sorted(counts)
    assert counts[-1] == value(server, f"octet_{name}_duration_seconds_count", **M)
    assert value(server, f"octet_{name}_duration_seconds_sum", **M) > 0


def test_requests_are_counted_by_their_code(server: Octet) -> None:
    def codes(labels: dict[str, str]) -> dict[str, float]:
        return {one.labels["code"]: one.value for one in samples(server, "octet_requests_total", labels)}

    nobody = dict.fromkeys(M, "")
    assert codes(M) == {"200": 3, "400": 1, "413": 2}
    assert codes(SLOW) == {"200": 2, "503": 1, "504": 1, "499": 1}
    assert codes(nobody) == {"400": 1, "404": 1, "415": 1, "503": 1}, "what no servable was found for, or no need"
    assert value(server, "octet_request_duration_seconds_count", **M) == sum(codes(M).values())
    assert value(server, "octet_queue_duration_seconds_count", **M) == 3
    assert value(server, "octet_compute_duration_seconds_count", **M) == 3


def test_rejections_are_counted_by_their_reason(server: Octet) -> None:
    reasons = {one.labels["reason"]: one.value for one in samples(server, "octet_rejected_total", {})}
    assert reasons == {
        "malformed": 1,
        "too_many_rows": 1,
        "body_too_large": 1,
        "unsupported_encoding": 1,
        "not_found": 1,
        "label_not_found": 1,
        "not_ready": 1,
        "deadline_exceeded": 1,
        "queue_full": 1,
        "cancelled": 1,
    }


def test_batches_and_their_rows_are_counted(server: Octet) -> None:
    assert value(server, "octet_batch_rows_count", **M) == 3
    assert value(server, "octet_batch_rows_sum", **M) == 6
    cumulative = {one.labels["le"]: one.value for one in samples(server, "octet_batch_rows_bucket", M)}
    assert [cumulative[bound] for bound in ("1.0", "2.0", "4.0", "+Inf")] == [1, 2, 3, 3]
    assert sum(one.value for one in samples(server, "octet_batch_release_total", M)) == 3


def test_who_went_away_is_counted(server: Octet) -> None:
    assert value(server, "octet_cancelled_total", **SLOW) == 1
    assert value(server, "octet_cancelled_total", **M) == 0
    assert value(server, "octet_pending_rows", **SLOW) == 0


def test_what_is_loaded_and_what_is_not(server: Octet) -> None:
    (info,) = samples(server, "octet_model_info", M)
    assert info.labels["engine"].startswith("onnxruntime ")
    assert 0 < value(server, "octet_model_load_duration_seconds", **M) < 60
    assert not samples(server, "octet_model_info", {"model": "broken"})
    assert value(server, "octet_model_load_failures_total", model="broken", version="1.0.0") == 1
    assert value(server, "octet_store_failures_total") == 0
    assert value(server, "octet_build_info") == 1


def test_the_page_speaks_the_form_that_is_asked_for(server: Octet) -> None:
    plain = server.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=")
    asked = server.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert asked.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert asked.text.endswith("# EOF\n")


def test_triton_s_names_stand_there_where_they_are_asked_for(server: Octet, publish: Publish, start: Start) -> None:
    publish("m", "1.0.0", graphs.adding(1))
    compatible = start("--metrics-compat", "triton")
    assert len(compatible.rows("m", [[0, 0]] * 3)) == 3
    (stats,) = compatible.get("/v2/models/m/stats").json()["model_stats"]
    labels = {"model": "m", "version": "1.0.0"}
    assert value(compatible, "nv_inference_count", **labels) == stats["inference_count"] == 3
    took_us = value(compatible, "nv_inference_request_duration_us", **labels)
    assert took_us * 1000 == pytest.approx(stats["inference_stats"]["success"]["ns"])
    assert "nv_inference" not in server.get("/metrics").text
