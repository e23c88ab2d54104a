"""Clients that ask for predictions without a pause, and remember everything that they were told."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any, NamedTuple

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


class Answer(NamedTuple):
    """What a good one tells of who made it."""

    version: str
    replica: str
    """What the ids of one process begin with."""


@dataclass
class Load:
    """What the clients have seen so far."""

    answers: list[Answer] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def versions(self) -> set[str]:
        return {answer.version for answer in self.answers}

    def take(self, answer: httpx.Response) -> None:
        if answer.status_code != 200 or digit(answer) != 7:
            self.failed.append(f"{answer.status_code} {answer.text}")
        else:
            replica = answer.headers["x-request-id"].partition("-")[0]
            self.answers.append(Answer(answer.headers["octet-model-version"], replica))

    def until(self, is_reached: Callable[[], Any], what: str) -> None:
        """Wait while the clients go on; fails at once when a request does."""

        def look() -> Any:
            assert self.failed == [], self.failed
            return is_reached()

        eventually(look, what, PATIENCE_SECONDS)

    def until_answered(self, more: int) -> list[Answer]:
        """Wait for so many more answers; gives them."""
        before = len(self.answers)
        self.until(lambda: len(self.answers) >= before + more, f"{more} more answers")
        return self.answers[before:]

    def until_replicas(self, count: int) -> None:
        """Wait until so many replicas, and no others, answer."""

        def look() -> bool:
            return len({answer.replica for answer in self.until_answered(60)}) == count

        self.until(look, f"{count} replicas answer")


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
