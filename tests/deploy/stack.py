"""The stack of docker-compose.yml, under a project's name and on ports of its own."""

import os
from types import TracebackType
from typing import Self

import httpx

from tests.deploy.engine import DIGITS, compose, docker, inspect, ran
from tests.deploy.load import PATIENCE_SECONDS
from tests.service.process import eventually


class Stack:
    """Brought up by the test, in part or whole; gone with its volumes at the end of the `with`."""

    def __init__(self, images: dict[str, str], *profiles: str) -> None:
        """`images` are the variables of the compose file that name them."""
        self.project = f"octet-test-{os.getpid()}"
        kept = {key: text for key, text in os.environ.items() if not key.startswith("OCTET_")}
        ports = dict.fromkeys(("OCTET_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT", "BALANCER_PORT"), "0")
        self._environment = kept | ports | images
        self._words = [*compose(), "-p", self.project, *(word for one in profiles for word in ("--profile", one))]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            error.add_note(self.compose("logs", "--tail", "50"))
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")

    def compose(self, *words: str) -> str:
        return ran(*self._words, *words, env=self._environment)

    def up(self, *words: str) -> None:
        """Bring these services up, and wait until every replica of Octet is healthy."""
        self.compose("up", "-d", *words)
        eventually(self.is_healthy, "every replica is healthy", PATIENCE_SECONDS)

    def containers(self, service: str) -> list[str]:
        """The ids of those that run."""
        labels = {"project": self.project, "service": service}
        filters = [f"--filter=label=com.docker.compose.{name}={text}" for name, text in labels.items()]
        return docker("ps", "--quiet", *filters).split()

    def is_healthy(self) -> bool:
        """Whether there are replicas, and all of them are."""
        return {inspect(one)["State"]["Health"]["Status"] for one in self.containers("octet")} == {"healthy"}

    def url(self, service: str, port: int = 8080) -> str:
        """Where this host reaches the service; it changes when the service is made anew."""
        return "http://" + self.compose("port", service, str(port)).strip()

    def ask(self, service: str, path: str, port: int = 8080) -> httpx.Response:
        return httpx.get(self.url(service, port) + path, timeout=PATIENCE_SECONDS)

    def publish(self, version: str) -> None:
        """Publish the digits model once more, in the container of a replica."""
        file = f"{DIGITS}/digits.onnx"
        docker("exec", self.containers("octet")[0], "octet", "model", "publish", "digits", file, "--version", version)

    def versions(self) -> dict[str, list[str]]:
        """What the status page tells: version -> its labels."""
        found = self.ask("octet", "/v1/models/digits").json()["model_version_status"]
        return {one["semver"]: one["labels"] for one in found}
