"""KEDA's query has one number, with requests and without, unless there is nothing to see."""

import yaml

from tests.monitoring.prometheus import ROOT, Prometheus
from tests.service.process import eventually

SCALED = yaml.safe_load((ROOT / "deploy/kubernetes/overlays/keda/scaled-object.yaml").read_text("utf-8"))
(TRIGGER,) = SCALED["spec"]["triggers"]
QUERY = TRIGGER["metadata"]["query"]


def test_it_is_how_long_requests_wait(prometheus: Prometheus) -> None:
    waited = QUERY.partition(" or ")[0]
    assert eventually(lambda: prometheus.ask(waited), "requests waited") == [{}]
    assert prometheus.ask(QUERY) == [{}]


def test_it_is_a_number_where_nobody_asks(prometheus: Prometheus) -> None:
    nobodys = QUERY.replace("octet_queue_duration_seconds_bucket", 'octet_queue_duration_seconds_bucket{model="none"}')
    assert nobodys != QUERY
    assert eventually(lambda: prometheus.ask(nobodys), "a server was seen") == [{}]


def test_it_is_none_where_no_server_is_seen(prometheus: Prometheus) -> None:
    assert prometheus.ask(QUERY.replace("octet_", "elsewhere_")) == []
    assert TRIGGER["metadata"]["ignoreNullValues"] == "false"
