"""An engine, the images, and what is told at the end. `make test-deploy` runs this folder, `make test` does not."""

import os
import re
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
        pytest.exit(f"No Docker engine answers ({reason}). Start one, or name it in DOCKER_HOST.", returncode=1)


@pytest.fixture(scope="session")
def image() -> Iterator[str]:
    """The image `cpu`, built for these tests alone."""
    tag = f"octet:test-{os.getpid()}"
    made = build(tag, "--target", "cpu", str(ROOT))
    yield tag
    remove(tag, made)


@pytest.fixture(scope="session")
def images(image: str) -> Iterator[dict[str, str]]:
    """Variable of the compose file -> an image that can be had here for its service; a stand-in where there is one."""
    found = {"OCTET_IMAGE": image}
    wanted = dict(re.findall(r"\$\{(\w+_IMAGE):-([^}]+)\}", (ROOT / "docker-compose.yml").read_text("utf-8")))
    for variable in ("PROMETHEUS_IMAGE", "GRAFANA_IMAGE", "BALANCER_IMAGE"):
        candidates = (wanted[variable], wanted[variable].partition(":")[0] + ":latest")
        if had := next(filter(is_to_be_had, candidates), None):
            found[variable] = had
        else:
            tell(f"{wanted[variable]} cannot be had here")
    if "BALANCER_IMAGE" in found:
        yield found
        return
    tell("Debian's HAProxy stands in for the balancer")
    tag = f"octet-balancer:test-{os.getpid()}"
    made = build(tag, str(ROOT / "tests" / "deploy" / "haproxy"))
    yield found | {"BALANCER_IMAGE": tag}
    remove(tag, made)


@pytest.fixture(scope="module")
def stack(images: dict[str, str]) -> Iterator[Stack]:
    """The default services, but for those whose images cannot be had."""
    with Stack(images) as stack:
        stack.up("octet", *(one for one in ("prometheus", "grafana") if f"{one.upper()}_IMAGE" in images))
        yield stack
