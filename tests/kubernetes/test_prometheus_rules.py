"""What docs/deploy.md makes of Prometheus' rules is what the Prometheus Operator takes."""

import re
import subprocess

import yaml

from tests.kubernetes.kustomizations import ROOT
from tests.kubernetes.schemas import check

PAGE = (ROOT / "docs" / "deploy.md").read_text("utf-8")
RULES = ROOT / "deploy" / "prometheus" / "rules"


def test_the_rules_become_objects() -> None:
    (script,) = re.findall(r"^ {4}for name in .*?\| kubectl apply -f -$", PAGE, re.MULTILINE | re.DOTALL)
    words = ["sh", "-ec", script.removesuffix(" | kubectl apply -f -")]
    made = subprocess.run(words, cwd=ROOT, capture_output=True, check=True, timeout=60).stdout
    objects = {one["metadata"]["name"]: one for one in yaml.safe_load_all(made) if one}
    assert objects.keys() == {f"octet-{file.stem}" for file in RULES.glob("*.yml")}
    for name, one in objects.items():
        check(one)
        assert one["spec"] == yaml.safe_load((RULES / f"{name.removeprefix('octet-')}.yml").read_text("utf-8"))
