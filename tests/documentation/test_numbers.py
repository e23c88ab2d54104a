"""Numbers that pages tell in prose are the ones in the code."""

import json
import re

import numpy as np

from app.metrics import ROWS_BUCKETS, SECONDS_BUCKETS
from app.serving.cost import LOOP_BOUND_SECONDS
from app.settings import Settings
from tests.documentation.pages import ROOT


def words(page: str) -> str:
    """The page on one line."""
    return " ".join((ROOT / page).read_text("utf-8").split())


def default(name: str) -> float:
    return float(Settings.model_fields[name].default)


def test_the_limits_in_the_readme_are_the_defaults() -> None:
    queue = f"{default('queue_rows'):.0f} rows"
    seconds = f"{default('deadline_ms') / 1000:.0f} seconds"
    size = f"{default('max_body_bytes') / (1 << 20):.0f} MiB"
    assert f"A queue holds {queue} a model, a request may take {seconds} and {size}" in words("README.md")
    assert f"default limit of {size}" in words("docs/decisions/001-large-bodies-are-decoded-on-the-loop.md")
    assert default("refresh_seconds") == 1.0
    assert "the server looks once a second" in words("README.md")


def test_the_buckets_are_those_of_the_metrics() -> None:
    seconds = " ".join(f"{bound:g}" for bound in SECONDS_BUCKETS)
    assert f"Buckets of seconds: {seconds}; of rows: powers of two from 1 to 1024." in words("docs/metrics.md")
    assert tuple(float(1 << power) for power in range(11)) == ROWS_BUCKETS


def test_the_bound_of_a_batch_on_the_loop_is_the_one_of_the_cost_table() -> None:
    bound = f"{LOOP_BOUND_SECONDS * 1000:g} ms"
    for page in ("architecture.md", "decisions/003-the-largest-useful-batch-is-measured.md"):
        assert bound in words(f"docs/{page}")


def test_the_decision_on_batches_tells_their_default() -> None:
    page = "docs/decisions/003-the-largest-useful-batch-is-measured.md"
    assert f"`max_batch_rows` is {default('max_batch_rows'):.0f} by default" in words(page)


def test_the_request_of_the_readme_is_a_seven_of_the_test_set() -> None:
    (body,) = re.findall(r"-d '(.*?)'", (ROOT / "README.md").read_text("utf-8"))
    test = np.load(ROOT / "examples" / "digits" / "test.npz")
    assert np.array_equal(json.loads(body)["instances"], test["image"][:1])
    assert test["labels"][0] == 7
    assert body in (ROOT / "docs" / "protocols.md").read_text("utf-8")
