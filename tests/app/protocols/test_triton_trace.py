"""Which requests are traced, under which settings, and what a trace says."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Malformed
from app.protocols.triton_trace import Traces, timestamps
from app.serving.request import Request

INITIAL = {
    "trace_level": ["OFF"],
    "trace_rate": "1000",
    "trace_count": "-1",
    "log_frequency": "0",
    "trace_file": "",
    "trace_mode": "triton",
}
ON = {"trace_level": ["TIMESTAMPS"]}


def sampled(traces: Traces, model: str, requests: int) -> list[int]:
    """Which of so many requests are traced, counted from 1."""
    return [number for number in range(1, requests + 1) if traces.samples(model)]


def test_nothing_is_traced_at_first() -> None:
    traces = Traces()
    assert traces.settings() == traces.settings("m") == INITIAL
    assert not traces.on
    assert sampled(traces, "m", 2000) == []


def test_every_so_many_th_of_all_models_together() -> None:
    traces = Traces()
    traces.change(ON | {"trace_rate": "3"})
    assert traces.on
    assert traces.settings("m") == INITIAL | ON | {"trace_rate": "3"}
    assert sampled(traces, "m", 7) == [3, 6]
    assert sampled(traces, "other", 2) == [2]


@given(st.integers(1, 7), st.integers(0, 5), st.integers(0, 60))
def test_rate_and_count_hold(rate: int, count: int, requests: int) -> None:
    traces = Traces()
    traces.change(ON | {"trace_rate": str(rate), "trace_count": str(count)})
    expected = [number for number in range(1, requests + 1) if number % rate == 0][:count]
    assert sampled(traces, "m", requests) == expected
    assert traces.settings()["trace_count"] == str(count - len(expected)), "what is left is told, as in Triton"


def test_a_models_own_settings_win_and_the_rest_follows() -> None:
    traces = Traces()
    traces.change({"trace_rate": "2"}, "m")
    traces.change({"trace_count": "9"})
    assert not traces.on
    traces.change(ON, "m")
    assert traces.on
    assert traces.settings("m") == INITIAL | ON | {"trace_rate": "2", "trace_count": "9"}
    assert sampled(traces, "m", 4) == [2, 4]
    assert sampled(traces, "other", 4) == []
    assert traces.settings() == INITIAL | {"trace_count": "7"}, "the count is shared until the model has its own"
    traces.change({"trace_count": "1"}, "m")
    assert sampled(traces, "m", 4) == [2]
    assert (traces.settings("m")["trace_count"], traces.settings()["trace_count"]) == ("0", "7")


def test_null_gives_back_what_holds_without_it() -> None:
    traces = Traces()
    traces.change(ON | {"trace_rate": "5"})
    traces.change({"trace_rate": "7", "trace_level": ["OFF"]}, "m")
    assert sampled(traces, "m", 10) == []
    traces.change({"trace_level": None}, "m")
    assert traces.settings("m") == INITIAL | ON | {"trace_rate": "7"}
    traces.change({"trace_rate": None}, "m")
    assert traces.settings("m") == traces.settings() == INITIAL | ON | {"trace_rate": "5"}
    traces.change(dict.fromkeys(INITIAL))
    assert traces.settings() == INITIAL
    assert not traces.on


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"trace_level": ["TENSORS"]}, "the clients'"),
        ({"trace_level": ["TIMESTAMPS", "OFF"]}, "TIMESTAMPS"),
        ({"trace_level": []}, "OFF"),
        ({"trace_level": 1}, "OFF"),
        ({"trace_rate": "0"}, "one of so many"),
        ({"trace_rate": 10}, "a text"),
        ({"trace_rate": "1.5"}, "a text"),
        ({"trace_rate": "1\n"}, "a text"),
        ({"trace_count": "-2"}, "-1"),
        ({"trace_count": True}, "-1"),
        ({"log_frequency": "10"}, "when its request is answered"),
        ({"trace_file": "/etc/passwd"}, "the server's log"),
        ({"trace_mode": "opentelemetry"}, "triton"),
        ({"trace_speed": "1"}, "known are trace_level, trace_rate"),
        ({"trace_speed": None}, "known are trace_level, trace_rate"),
    ],
)
def test_a_wrong_setting_changes_nothing(asked: dict[str, Any], says: str) -> None:
    traces = Traces()
    for model in ("", "m"):
        with pytest.raises(Malformed, match=says):
            traces.change(ON | asked, model)
    assert traces.settings("m") == traces.settings() == INITIAL
    assert not traces.on


def test_a_level_may_be_a_text() -> None:
    traces = Traces()
    traces.change({"trace_level": "TIMESTAMPS"})
    assert traces.settings()["trace_level"] == ["TIMESTAMPS"]


def test_the_moments_of_a_call() -> None:
    request = Request({"x": np.zeros(1)}, 1, None, 10.5, 20.0, lambda *_: None)
    request.queue_seconds, request.compute_seconds = 0.25, 0.125
    assert timestamps(10.0, 1.0, request) == {
        "REQUEST_START": 10_000_000_000,
        "QUEUE_START": 10_500_000_000,
        "COMPUTE_START": 10_750_000_000,
        "COMPUTE_END": 10_875_000_000,
        "REQUEST_END": 11_000_000_000,
    }
    assert timestamps(10.0, 1.0, None) == {"REQUEST_START": 10_000_000_000, "REQUEST_END": 11_000_000_000}
    request.compute_seconds = 3.0
    assert timestamps(10.0, 1.0, request)["COMPUTE_END"] == 11_000_000_000, "parts ran at once"
