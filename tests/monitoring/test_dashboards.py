"""Every query of the dashboards and every rule has an answer, from a real Octet under load and a real Prometheus."""

import re
from typing import Any

import pytest
import yaml

from deploy.grafana.dashboards import DASHBOARDS, FOLDER, written
from deploy.grafana.schema import COLUMNS, SOURCE
from tests.monitoring.prometheus import DEPLOYED, ROOT, Prometheus
from tests.service.process import eventually

GRAFANA = ROOT / "deploy" / "grafana" / "provisioning"
# What cannot be brought about on every machine, by how the names of its series begin. Prometheus must take the queries
# all the same, and what they answer where there is something must have the labels that are shown.
MAY_BE_EMPTY = {
    "octet_gpu_": "needs a GPU",
    "octet_engine_fallback_total": "needs an engine that does not run here",
}
_VARIABLE = re.compile(r"\$(?:model|version|variant|instance)\b")
_SELECTOR = re.compile(r"\b(?:octet_\w+|\w+:octet_[\w:]+|up|process_start_time_seconds|ALERTS)\b(?:\{[^}]*\})?")


def as_grafana_asks(expr: str) -> str:
    """With all values of every variable picked."""
    return _VARIABLE.sub(".+", expr).replace("$__rate_interval", "10s")


def panels(name: str) -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARDS[name]()["panels"] if panel["type"] != "row"]


def labels_of(panel: dict[str, Any], target: dict[str, Any]) -> set[str]:
    """The labels that are shown of what the query answers."""
    shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
    for change in panel.get("transformations", ()):
        shown |= change["options"]["includeByName"].keys() - {"Value"}
    return shown


QUERIES = [(panel, target) for name in DASHBOARDS for panel in panels(name) for target in panel["targets"]]


def rules(kind: str) -> list[dict[str, Any]]:
    groups = [group for file in DEPLOYED.glob("rules/*.yml") for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def may_be_empty(expr: str) -> bool:
    return any(name in expr for name in MAY_BE_EMPTY)


def ask(prometheus: Prometheus, expr: str) -> list[dict[str, str]]:
    """The answer, once there is one; at once where there may be none."""
    if may_be_empty(expr):
        return prometheus.ask(expr)
    return eventually(lambda: prometheus.ask(expr), f"an answer to {expr}")


@pytest.mark.parametrize(("panel", "target"), QUERIES, ids=[f"{p['title']}-{t['refId']}" for p, t in QUERIES])
def test_a_panel_has_an_answer_with_the_labels_it_shows(
    prometheus: Prometheus, panel: dict[str, Any], target: dict[str, Any]
) -> None:
    shown = labels_of(panel, target)
    expr = as_grafana_asks(target["expr"])

    def labels() -> set[str]:
        return {label for found in ask(prometheus, expr) for label in found}

    if not may_be_empty(expr):
        eventually(lambda: shown <= labels(), f"{shown} in the answer to {expr}")
    elif found := labels():
        assert shown <= found


@pytest.mark.parametrize("rule", rules("record"), ids=lambda rule: rule["record"])
def test_a_recording_rule_has_an_answer(prometheus: Prometheus, rule: dict[str, Any]) -> None:
    assert ask(prometheus, rule["record"])
    assert ask(prometheus, rule["expr"])


@pytest.mark.parametrize("rule", rules("alert"), ids=lambda rule: rule["alert"])
def test_an_alert_compares_what_is_there(prometheus: Prometheus, rule: dict[str, Any]) -> None:
    prometheus.ask(rule["expr"])
    compared = _SELECTOR.findall(rule["expr"])
    assert compared
    for selector in compared:
        assert ask(prometheus, selector) or may_be_empty(selector)


def test_alerts_fire_for_what_was_brought_about(prometheus: Prometheus) -> None:
    """A variant is refused, and half of the requests fail; a model without a version waits for its two minutes."""
    wanted = {"OctetVariantRefused": "firing", "OctetErrorBudgetBurnsFast": "firing", "OctetNotReady": "pending"}
    for alert, state in wanted.items():
        ask(prometheus, f'ALERTS{{alertname="{alert}", alertstate="{state}"}}')
    assert not prometheus.ask('ALERTS{alertname=~"OctetTargetDown|OctetNothingServes|OctetStoreUnreachable"}')


def test_no_rule_fails(prometheus: Prometheus) -> None:
    eventually(lambda: all(rule["health"] == "ok" for rule in prometheus.rules()), "every rule was evaluated")


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_variable_has_values(prometheus: Prometheus, name: str) -> None:
    for variable in DASHBOARDS[name]()["templating"]["list"]:
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
        assert asked
        series, label = _VARIABLE.sub(".+", asked[1]), asked[2]
        assert eventually(lambda: prometheus.label_values(label, series), variable["definition"])  # noqa: B023


@pytest.mark.parametrize("series", MAY_BE_EMPTY)
def test_what_may_be_empty_is_there_and_says_what_it_needs(series: str) -> None:
    documented = dict(
        re.findall(r"^\| `(\w+)` \|(.*)$", (ROOT / "docs" / "metrics.md").read_text("utf-8"), re.MULTILINE)
    )
    shown = [(panel, target) for panel, target in QUERIES if series in target["expr"]]
    assert shown
    for panel, target in shown:
        (name,) = re.findall(rf"{series}\w*", target["expr"])
        assert all(f"`{label}`" in documented[name] for label in labels_of(panel, target) - {"instance"})
        assert series != "octet_gpu_" or "GPU" in panel["description"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_files_are_up_to_date(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text("utf-8") == written(name), "run `make dashboards`"
    assert {file.stem for file in FOLDER.iterdir()} == DASHBOARDS.keys()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_are_numbered_and_do_not_overlap(name: str) -> None:
    placed = DASHBOARDS[name]()["panels"]
    assert len({panel["id"] for panel in placed}) == len(placed)
    taken = set()
    for panel in placed:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= COLUMNS
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_grafana_is_told_of_the_source_and_the_folder() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    (source,) = yaml.safe_load((GRAFANA / "datasources" / "prometheus.yml").read_text("utf-8"))["datasources"]
    assert {"type": source["type"], "uid": source["uid"]} == SOURCE
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in compose
    (provider,) = yaml.safe_load((GRAFANA / "dashboards" / "octet.yml").read_text("utf-8"))["providers"]
    mounted = {line.split(":")[1]: line.split(":")[0] for line in compose["grafana"]["volumes"]}
    assert (ROOT / mounted[provider["options"]["path"]]).resolve() == FOLDER
