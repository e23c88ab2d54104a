"""What somebody has after `docker compose up -d`, and keeps over restarts."""

from typing import Any

import httpx
import pytest

from tests.deploy.load import digit, load, predict
from tests.deploy.stack import PATIENCE_SECONDS, Stack
from tests.service.process import eventually


def test_it_knows_a_seven(stack: Stack) -> None:
    answer = predict(stack.url("octet"))
    assert answer.headers["octet-model-version"] == "1.0.0"
    assert digit(answer) == 7


def test_it_answers_on_this_host_alone(stack: Stack) -> None:
    assert stack.url("octet").startswith("http://127.0.0.1:")


def asked(stack: Stack, path: str) -> Any:
    """Prometheus's answer."""
    return stack.ask("prometheus", f"/api/v1/{path}", 9090).json()["data"]


@pytest.fixture
def prometheus(images: dict[str, str]) -> None:
    if "PROMETHEUS_IMAGE" not in images:
        pytest.skip("no image of Prometheus is to be had")


@pytest.mark.usefixtures("prometheus")
def test_prometheus_scrapes_the_replica_and_no_rule_of_its_fails_or_fires(stack: Stack) -> None:
    eventually(lambda: health_of_targets(stack) == ["up"], "the target is up", PATIENCE_SECONDS)
    eventually(lambda: {rule["health"] for rule in rules(stack)} == {"ok"}, "every rule works", PATIENCE_SECONDS)
    firing = [rule["name"] for rule in rules(stack) if rule["type"] == "alerting" and rule["state"] == "firing"]
    assert firing == []


def health_of_targets(stack: Stack) -> list[str]:
    targets = asked(stack, "targets?state=active")["activeTargets"]
    return [one["health"] for one in targets if one["labels"]["job"] == "octet"]


def rules(stack: Stack) -> list[dict[str, Any]]:
    return [rule for group in asked(stack, "rules")["groups"] for rule in group["rules"]]


def test_grafana_shows_the_dashboards(stack: Stack, images: dict[str, str]) -> None:
    if "GRAFANA_IMAGE" not in images:
        pytest.skip("no image of Grafana is to be had")
    eventually(lambda: is_up(stack), "Grafana answers", PATIENCE_SECONDS)
    assert stack.ask("grafana", "/api/search?type=dash-db", 3000).json() != []


def is_up(stack: Stack) -> bool:
    try:
        return stack.ask("grafana", "/api/health", 3000).status_code == 200
    except httpx.HTTPError:
        return False


def test_no_request_fails_while_a_version_is_published(stack: Stack) -> None:
    with load(stack.url("octet")) as seen:
        seen.until_answered(100)
        stack.publish("1.1.0")
        seen.until(lambda: "1.1.0" in seen.versions, "the new version answers")
        seen.until_answered(100)
    assert seen.failed == [], seen.failed
    assert seen.versions == {"1.0.0", "1.1.0"}


def test_a_restart_and_an_end_of_all_containers_lose_nothing(stack: Stack) -> None:
    stack.publish("1.2.0")
    eventually(lambda: "1.2.0" in stack.versions(), "1.2.0 is loaded", PATIENCE_SECONDS)
    before = stack.versions()
    stack.compose("restart", "octet")
    stack.up("octet")
    assert stack.versions() == before
    stack.compose("down")
    stack.up("octet")
    assert stack.versions() == before
    assert before["1.0.0"] == ["stable"]
