"""Replicas behind the balancer: what clients notice of one that stops, of one that dies, and of an upgrade."""

import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.deploy.conftest import tell
from tests.deploy.engine import docker, remove
from tests.deploy.load import Load, load
from tests.deploy.stack import PATIENCE_SECONDS, Stack
from tests.service.process import eventually

REPLICAS = 3


@pytest.fixture(scope="module")
def scaled(images: dict[str, str]) -> Iterator[Stack]:
    with Stack(images, "scale") as stack:
        stack.up("--scale", f"octet={REPLICAS}", "octet", "balancer")
        eventually(lambda: answers(stack), "the balancer has a replica", PATIENCE_SECONDS)
        yield stack


def answers(stack: Stack) -> bool:
    try:
        return stack.ask("balancer", "/healthz/ready").status_code == 200
    except httpx.HTTPError:
        return False


def again(stack: Stack, seen: Load) -> None:
    """Bring back what was stopped."""
    stack.up("--scale", f"octet={REPLICAS}", "octet", "balancer")
    seen.until_replicas(REPLICAS)


def told(seen: Load, what: str) -> None:
    tell(f"{what}: {len(seen.answers)} requests answered, {len(seen.failed)} failed")
    assert seen.failed == [], seen.failed


def test_no_request_fails_when_a_replica_stops(scaled: Stack) -> None:
    with load(scaled.url("balancer")) as seen:
        seen.until_replicas(REPLICAS)
        docker("stop", scaled.containers("octet")[0])
        seen.until_replicas(REPLICAS - 1)
        again(scaled, seen)
    told(seen, "a replica of three stopped")


def test_no_request_fails_when_a_replica_is_killed(scaled: Stack) -> None:
    with load(scaled.url("balancer")) as seen:
        seen.until_replicas(REPLICAS)
        docker("kill", scaled.containers("octet")[0])
        seen.until_replicas(REPLICAS - 1)
        again(scaled, seen)
    told(seen, "a replica of three killed")


def test_no_request_fails_while_a_version_is_published(scaled: Stack) -> None:
    with load(scaled.url("balancer")) as seen:
        seen.until_replicas(REPLICAS)
        scaled.publish("1.1.0")
        seen.until(lambda: "1.1.0" in seen.versions, "the new version answers")
        seen.until_replicas(REPLICAS)
    told(seen, "a version published to three")


@pytest.fixture
def newer(image: str, images: dict[str, str]) -> Iterator[str]:
    """Another image under the name that the stack uses."""
    docker("tag", image, f"{image}-old")
    file = f"FROM {image}-old\nLABEL is.newer=yes\n"
    subprocess.run(["docker", "build", "--tag", image, "-"], input=file, text=True, capture_output=True, check=True)
    yield docker("images", "--quiet", "--no-trunc", image).strip()
    docker("tag", f"{image}-old", image)
    remove(f"{image}-old", set())


def test_no_request_fails_while_the_image_is_upgraded(scaled: Stack, newer: str) -> None:
    """As docs/deploy.md says: new ones beside the old ones, then the old ones stop."""
    with load(scaled.url("balancer")) as seen:
        old = scaled.containers("octet")
        scaled.up("--no-deps", "--no-recreate", "--scale", f"octet={2 * REPLICAS}", "octet")
        seen.until_replicas(2 * REPLICAS)
        for one in old:
            docker("stop", one)
            docker("rm", one)
        seen.until_replicas(REPLICAS)
        images = {docker("inspect", "--format", "{{.Image}}", one).strip() for one in scaled.containers("octet")}
    told(seen, "three replicas replaced by three of a newer image")
    assert images == {newer}
