"""Prometheus' rules: promtool takes them, and every alert is seen firing and silent."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RULES = ROOT / "deploy" / "prometheus" / "rules"
CASES = HERE / "alerts.test.yml"
ALERTS = [rule for group in yaml.safe_load((RULES / "alerts.yml").read_text())["groups"] for rule in group["rules"]]


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_rules_and_configuration() -> None:
    promtool("check", "rules", *sorted(RULES.glob("*.yml")))
    promtool("check", "config", RULES.parent / "prometheus.yml")


def test_alerts_fire_and_stay_silent_as_they_should() -> None:
    promtool("test", "rules", CASES)


@pytest.mark.parametrize("alert", ALERTS, ids=[alert["alert"] for alert in ALERTS])
def test_an_alert_is_seen_both_ways_and_has_its_paragraph(alert: dict[str, Any]) -> None:
    cases = [
        case
        for test in yaml.safe_load(CASES.read_text())["tests"]
        for case in test.get("alert_rule_test", ())
        if case["alertname"] == alert["alert"]
    ]
    assert {bool(case.get("exp_alerts")) for case in cases} == {True, False}
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    headings = [line[3:].strip().lower() for line in (ROOT / page).read_text().splitlines() if line.startswith("## ")]
    assert anchor in headings
