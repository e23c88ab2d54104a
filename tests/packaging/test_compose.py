"""docker-compose.yml is taken by compose, and every service is sealed; the balancer's file is taken by HAProxy."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings
from tests.deploy.engine import compose

ROOT = Path(__file__).parents[2]
PROFILES = {
    "publish": None,
    "octet": None,
    "octet-gpu": "gpu",
    "balancer": "scale",
    "prometheus": None,
    "grafana": None,
}
OF_OCTET = {"publish", "octet", "octet-gpu"}


def config(**variables: str) -> dict[str, Any]:
    """The services of all profiles, as compose understands the file."""
    kept = {key: text for key, text in os.environ.items() if not key.startswith(("OCTET_", "COMPOSE_"))}
    words = [*compose(), "--profile", "gpu", "--profile", "scale", "config"]
    told = subprocess.run(words, cwd=ROOT, env=kept | variables, capture_output=True, check=True, timeout=60).stdout
    return dict(yaml.safe_load(told)["services"])


ALL = config()


def addresses(services: dict[str, Any]) -> set[str]:
    """Those of this host on which anything is published; compose writes a port as a text or as a mapping."""
    ports = [port for service in services.values() for port in service.get("ports", [])]
    return {port["host_ip"] if isinstance(port, dict) else port.partition(":")[0] for port in ports}


def test_the_default_is_octet_prometheus_and_grafana() -> None:
    assert {name: next(iter(service.get("profiles", [])), None) for name, service in ALL.items()} == PROFILES


def test_everything_answers_on_this_host_alone_unless_it_is_told_otherwise() -> None:
    assert addresses(ALL) == {"127.0.0.1"}
    assert addresses(config(OCTET_PUBLISH="192.0.2.1")) == {"192.0.2.1"}


@pytest.mark.parametrize("name", ALL)
def test_a_service_is_sealed(name: str) -> None:
    service = ALL[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


@pytest.mark.parametrize("name", sorted(set(ALL) - OF_OCTET))
def test_an_image_of_others_is_of_one_version(name: str) -> None:
    assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", ALL[name]["image"])


@pytest.mark.parametrize("name", sorted(OF_OCTET))
def test_a_container_may_drain_before_it_is_killed(name: str) -> None:
    assert ALL[name]["stop_grace_period"] == "40s"
    assert Settings.model_fields["drain_seconds"].default < 40


def test_store_and_plans_are_volumes() -> None:
    text = yaml.safe_dump(ALL["octet"]["volumes"])
    assert re.search(r"\bstore\b", text)
    assert re.search(r"\bplans\b", text)
    assert ALL["octet"]["volumes"] == ALL["octet-gpu"]["volumes"] == ALL["publish"]["volumes"]


def test_the_image_is_of_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert f'org.opencontainers.image.version="{version}"' in (ROOT / "Dockerfile").read_text("utf-8")


def test_haproxy_takes_its_file() -> None:
    file = "deploy/haproxy/haproxy.cfg"
    # Debian keeps it where not every path leads.
    haproxy = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    assert haproxy, "make haproxy"
    done = subprocess.run([haproxy, "-c", "-f", file], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower()
