"""Clients that ask for predictions without a pause, and remember everything that they were told."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import httpx
import numpy as np

from tests.deploy.engine import ROOT
from tests.service.process import eventually

CLIENTS = 4
PATIENCE_SECONDS = 180.0
SEVEN = json.dumps({"instances": np.load(ROOT / "examples" / "digits" / "test.npz")["image"][:1].tolist()})
"""The request of the README."""


def digit(answer: httpx.Response) -> int:
    """Which digit the answer says it is."""
    (scores,) = answer.json()["predictions"]
    return int(np.argmax(scores))


def predict(url: str, client: httpx.Client | None = None) -> httpx.Response:
    post = client.post if client else httpx.post
    return post(f"{url}/v1/models/digits:predict", content=SEVEN, timeout=60)


@dataclass
class Load:
    """What the clients have seen so far."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    """Version -> answers by it."""
    replicas: dict[str, int] = field(default_factory=dict)
    """What the ids of one process begin with -> answers by it."""

    def take(self, answer: httpx.Response) -> None:
        if answer.status_code != 200 or digit(answer) != 7:
            self.failed.append(f"{answer.status_code} {answer.text}")
            return
        self.answered += 1
        for seen, name in ((self.versions, "octet-model-version"), (self.replicas, "x-request-id")):
            text = answer.headers[name].partition("-")[0]
            seen[text] = seen.get(text, 0) + 1

    def until(self, is_reached: Callable[[], Any], what: str) -> None:
        """Wait while the clients go on; fails at once when a request does."""

        def look() -> Any:
            assert self.failed == []
            return is_reached()

        eventually(look, what, PATIENCE_SECONDS)

    def until_answered(self, more: int) -> None:
        """Wait for so many more answers."""
        wanted = self.answered + more
        self.until(lambda: self.answered >= wanted, f"{more} more answers")

    def until_replicas(self, count: int) -> set[str]:
        """Wait until so many replicas, and no others, answer; gives their names."""

        def fresh() -> set[str]:
            before = dict(self.replicas)
            self.until_answered(60)
            return {name for name, answers in self.replicas.items() if answers > before.get(name, 0)}

        return eventually(
            lambda: found if len(found := fresh()) == count else set(), f"{count} replicas answer", PATIENCE_SECONDS
        )


@contextmanager
def load(url: str) -> Iterator[Load]:
    """Keep asking while the `with` lasts; afterwards every client has had its last answer."""
    seen, done = Load(), Event()

    def ask() -> None:
        with httpx.Client() as client:
            while not done.is_set():
                try:
                    seen.take(predict(url, client))
                except httpx.HTTPError as error:
                    seen.failed.append(repr(error))

    with ThreadPoolExecutor(CLIENTS) as clients:
        asking = [clients.submit(ask) for _ in range(CLIENTS)]
        try:
            yield seen
        finally:
            done.set()
    for one in asking:
        one.result()
