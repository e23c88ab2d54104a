"""Triton's statistics document, out of a tally."""

import json
import time
from typing import Any

import pytest

from app.protocols.triton_statistics import statistics, statistics_as_asked
from app.serving.servable import Servable
from tests.app.conftest import MakeServable

NEVER = {"count": 0, "ns": 0}


@pytest.fixture
async def used(make_servable: MakeServable) -> Servable:
    """Answered three requests of six rows within 60 ms and refused two within 10; two batches ran."""
    servable = make_servable("Digits", "1.2.0")
    tally = servable.tally
    tally.requests.update({200: 3, 400: 1, 499: 1})
    tally.rows = 6
    for seconds in (0.01, 0.02, 0.03, 0.004, 0.006):
        tally.duration.observe(seconds)
    for seconds in (0.0, 0.001, 0.002):
        tally.queue.observe(seconds)
        tally.compute.observe(0.004)
    tally.input_seconds, tally.failed_seconds = 0.005, 0.01
    tally.batches.observe((4, 0.006))
    tally.batches.observe((2, 0.004))
    tally.answered_at = time.perf_counter()
    return servable


def stats_of(servable: Servable) -> dict[str, Any]:
    (stats,) = json.loads(json.dumps(statistics([servable])))["model_stats"]
    return stats  # type: ignore[no-any-return]


async def test_what_was_counted(used: Servable) -> None:
    earliest = time.time() * 1000 - 10_000
    stats = stats_of(used)
    assert earliest < stats.pop("last_inference") < earliest + 20_000
    assert stats == {
        "name": "Digits",
        "version": "1.2.0",
        "inference_count": 6,
        "execution_count": 2,
        "inference_stats": {
            "success": {"count": 3, "ns": 60_000_000},
            "fail": {"count": 2, "ns": 10_000_000},
            "queue": {"count": 3, "ns": 3_000_000},
            "compute_input": {"count": 3, "ns": 5_000_000},
            "compute_infer": {"count": 3, "ns": 12_000_000},
            "compute_output": {"count": 3, "ns": 40_000_000},
            "cache_hit": NEVER,
            "cache_miss": NEVER,
        },
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": rows,
                "compute_input": {"count": 1, "ns": 0},
                "compute_infer": {"count": 1, "ns": nanoseconds},
                "compute_output": {"count": 1, "ns": 0},
            }
            for rows, nanoseconds in ((2, 4_000_000), (4, 6_000_000))
        ],
        "memory_usage": [],
    }


async def test_every_number_is_whole_and_none_is_negative(used: Servable) -> None:
    used.tally.input_seconds = 1.00000000123  # more than the requests took: clocks of threads, sums of floats
    text = json.dumps(statistics([used]))
    assert json.loads(text, parse_float=pytest.fail) == json.loads(text)
    assert stats_of(used)["inference_stats"]["compute_output"]["ns"] == 0


async def test_nothing_happened_yet(make_servable: MakeServable) -> None:
    stats = stats_of(make_servable())
    assert (stats["last_inference"], stats["inference_count"], stats["execution_count"]) == (0, 0, 0)
    assert set(map(str, stats["inference_stats"].values())) == {str(NEVER)}
    assert stats["batch_stats"] == []


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("1.2.0", {"version": "1.2.0"}),
        ("1", {"version": "1", "semver": "1.2.0"}),
        ("1.2", {"version": "1.2", "semver": "1.2.0"}),
    ],
)
async def test_a_version_has_the_name_that_it_was_asked_by(asked: str, told: dict[str, str], used: Servable) -> None:
    (stats,) = statistics_as_asked(used, asked)["model_stats"]
    assert {key: text for key, text in stats.items() if key in ("version", "semver")} == told
    assert stats | {"version": "1.2.0"} == stats_of(used) | told | {"version": "1.2.0"}
