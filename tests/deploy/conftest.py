"""An engine, the images, and what was found out, told at the end. `make test-deploy` runs this folder, `make test` not."""

import os
from collections.abc import Iterator

import pytest

from tests.deploy.engine import ROOT, build, is_to_be_had, remove, why_no_engine
from tests.deploy.stack import Stack

_TOLD: list[str] = []


def tell(line: str) -> None:
    """Have this line printed at the end."""
    _TOLD.append(line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _TOLD:
        terminalreporter.section("what was measured")
        for line in _TOLD:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """Without one there is nothing to test."""
    if reason := why_no_engine():
        pytest.exit(f"No Docker engine answers: {reason}. Start one, or name it in DOCKER_HOST.", returncode=1)


@pytest.fixture(scope="session")
def image() -> Iterator[str]:
    """The image `cpu`, built for these tests alone."""
    tag = f"octet:test-{os.getpid()}"
    made = build(tag, "--target", "cpu", str(ROOT))
    yield tag
    remove(tag, made)


@pytest.fixture(scope="session")
def images(image: str) -> Iterator[dict[str, str]]:
    """The variables that name the images of all services that can be had here; a stand-in where it must be."""
    balancer, made = _balancer()
    named = {"OCTET_IMAGE": image, "BALANCER_IMAGE": balancer}
    prometheus = next(filter(is_to_be_had, ("prom/prometheus:v3.5.0", "prom/prometheus:latest")), None)
    if prometheus:
        named["PROMETHEUS_IMAGE"] = prometheus
    yield named
    if made:
        remove(balancer, made)


def _balancer() -> tuple[str, set[str]]:
    official = "haproxy:3.2.6"
    if is_to_be_had(official):
        return official, set()
    tell(f"{official} cannot be had: Debian's haproxy stands in for it")
    tag = f"octet-balancer:test-{os.getpid()}"
    return tag, build(tag, str(ROOT / "tests" / "deploy" / "haproxy"))


@pytest.fixture(scope="module")
def stack(images: dict[str, str]) -> Iterator[Stack]:
    """The default one, without the services whose images cannot be had."""
    with Stack(images) as stack:
        stack.up("octet", *_others(images))
        yield stack


def _others(images: dict[str, str]) -> list[str]:
    services = ["prometheus"] if "PROMETHEUS_IMAGE" in images else []
    services += ["grafana"] if is_to_be_had("grafana/grafana:12.1.1") else []
    for service in {"prometheus", "grafana"} - set(services):
        tell(f"{service} is left out: its image cannot be had here")
    return services
