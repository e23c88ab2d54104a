"""Triton's trace: of one request in so many, a line in the log tells when it arrived, waited, ran and was answered.

Source: `extension_trace.md` in triton-inference-server/server. A trace goes to the log, never to a file: the one who
asks for it is somewhere else.
"""

import re
from collections import ChainMap, Counter
from collections.abc import Mapping
from typing import Any

from app.protocols.triton_checks import Check, checked, only
from app.serving.request import Request

_OFF, _ON = ["OFF"], ["TIMESTAMPS"]
_UNLIMITED = "-1"
_INITIAL: dict[str, Any] = {
    "trace_level": _OFF,
    "trace_rate": "1000",
    "trace_count": _UNLIMITED,
    "log_frequency": "0",
    "trace_file": "",
    "trace_mode": "triton",
}
_EVERY_MODEL = ""


class Traces:
    """The settings, of all models and of single ones, and which request is to be traced. A model is a folded name."""

    def __init__(self) -> None:
        self.on = False
        """Whether any request may have to be traced."""
        self._changed: dict[str, dict[str, Any]] = {_EVERY_MODEL: {}}
        self._seen: Counter[str] = Counter()

    def settings(self, model: str = _EVERY_MODEL) -> dict[str, Any]:
        """What holds for the model, or for all that have nothing of their own. Numbers are texts, as in Triton."""
        return dict(self._in_force(model))

    def change(self, asked: Mapping[str, Any], model: str = _EVERY_MODEL) -> None:
        """Set what is named; None gives a model's setting back to that of all models, theirs to the initial one.

        Counting to the next trace begins anew. Raises Malformed, and changes nothing then.
        """
        settings = self._changed.get(model, {}) | checked(asked, _CHECKS)
        own = {name: value for name, value in settings.items() if value is not None}
        if own or model == _EVERY_MODEL:
            self._changed[model] = own
        else:
            self._changed.pop(model, None)
        self._seen.clear()
        self.on = any(self._in_force(scope)["trace_level"] == _ON for scope in self._changed)

    def samples(self, model: str) -> bool:
        """Whether this request of the model is to be traced: every so many-th, as long as the count lasts."""
        scope = model if model in self._changed else _EVERY_MODEL
        settings = self._in_force(scope)
        count = settings["trace_count"]
        if settings["trace_level"] != _ON or count == "0":
            return False
        self._seen[scope] += 1
        if self._seen[scope] % int(settings["trace_rate"]):
            return False
        if count != _UNLIMITED:
            owner = next(level for level in settings.maps if "trace_count" in level)
            owner["trace_count"] = str(int(count) - 1)
        return True

    def _in_force(self, model: str) -> ChainMap[str, Any]:
        return ChainMap(self._changed.get(model, {}), self._changed[_EVERY_MODEL], _INITIAL)


def timestamps(started: float, seconds: float, request: Request | None) -> dict[str, int]:
    """Triton's names for the moments of an answered call, in nanoseconds of the machine's monotonic clock.

    A call that got no result has but its ends. From COMPUTE_START to COMPUTE_END is as long as its batches ran in all,
    but no longer than there was time: parts of a large request run at once.
    """
    ended = started + seconds
    moments = {"REQUEST_START": started}
    if request is not None:
        begun = request.arrived + request.queue_seconds
        moments |= {"QUEUE_START": request.arrived, "COMPUTE_START": begun}
        moments["COMPUTE_END"] = min(begun + request.compute_seconds, ended)
    moments["REQUEST_END"] = ended
    return {name: round(moment * 1e9) for name, moment in moments.items()}


def _level(value: Any) -> list[str]:
    level = [value] if isinstance(value, str) else value
    if level not in (_OFF, _ON):
        raise ValueError('["OFF"] or ["TIMESTAMPS"]: tensors are the clients\' and stay out of the log')
    return level


def _whole(pattern: str, expected: str) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(expected)
        return value

    return check


def _or_none(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


_CHECKS: dict[str, Check] = {
    name: _or_none(check)
    for name, check in {
        "trace_level": _level,
        "trace_rate": _whole("[1-9][0-9]{0,8}", 'a text such as "1000": one of so many requests is traced'),
        "trace_count": _whole("-1|0|[1-9][0-9]{0,8}", 'a text such as "100", or "-1" for no end'),
        "log_frequency": only("0", "a trace is logged when its request is answered"),
        "trace_file": only("", "traces go to the server's log"),
        "trace_mode": only("triton", "no other is built"),
    }.items()
}
