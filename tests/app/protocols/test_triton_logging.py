"""Triton's logging settings, and the loggers that follow them."""

import logging
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from app.errors import Malformed
from app.logs import Levels
from app.protocols.triton_logging import change_log_settings, log_settings

AT_INFO = {
    "log_file": "",
    "log_info": True,
    "log_warning": True,
    "log_error": True,
    "log_verbose_level": 0,
    "log_format": "ISO8601",
}


@pytest.fixture(autouse=True)
def the_root_logger_is_put_back() -> Iterator[None]:
    root = logging.getLogger()
    level, others = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = others


def passing(levels: Levels) -> set[str]:
    """The levels at which a line comes through the loggers and the filter of a handler."""
    passed: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            passed.append(record.levelname)

    handler = Handler()
    handler.addFilter(levels)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    levels.apply()
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        logging.getLogger("octet").log(level, "a line")
    return set(passed)


@pytest.mark.parametrize(
    ("least", "expected", "passes"),
    [
        ("debug", {"log_verbose_level": 1}, {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}),
        ("info", {}, {"INFO", "WARNING", "ERROR", "CRITICAL"}),
        ("warning", {"log_info": False}, {"WARNING", "ERROR", "CRITICAL"}),
        ("error", {"log_info": False, "log_warning": False}, {"ERROR", "CRITICAL"}),
    ],
)
def test_the_level_that_the_server_starts_with(least: str, expected: dict[str, Any], passes: set[str]) -> None:
    levels = Levels(least)
    assert log_settings(levels) == AT_INFO | expected
    assert passing(levels) == passes


@pytest.mark.parametrize(
    ("info", "warning", "error", "verbose"), list(product((True, False), (True, False), (True, False), (0, 2)))
)
def test_every_level_is_switched_by_itself(info: bool, warning: bool, error: bool, verbose: int) -> None:
    levels = Levels()
    asked = {"log_info": info, "log_warning": warning, "log_error": error, "log_verbose_level": verbose}
    change_log_settings(asked, levels)
    assert log_settings(levels) == AT_INFO | asked
    on = {"DEBUG": verbose, "INFO": info, "WARNING": warning, "ERROR": error, "CRITICAL": error}
    assert passing(levels) == {name for name, is_on in on.items() if is_on}


def test_what_is_not_named_stays() -> None:
    levels = Levels("warning")
    change_log_settings({}, levels)
    change_log_settings({"log_error": False, "log_file": "", "log_format": "ISO8601"}, levels)
    assert log_settings(levels) == AT_INFO | {"log_info": False, "log_error": False}


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"log_info": 1}, "true or false"),
        ({"log_warning": None}, "true or false"),
        ({"log_verbose_level": True}, "a whole number"),
        ({"log_verbose_level": -1}, "a whole number"),
        ({"log_verbose_level": 2**32}, "a whole number"),
        ({"log_file": "/log"}, "standard error"),
        ({"log_format": "default"}, "ISO8601"),
        ({"log_errors": False}, "known are log_file, log_info, log_warning, log_error"),
    ],
)
def test_a_wrong_setting_changes_nothing(asked: dict[str, Any], says: str) -> None:
    levels = Levels()
    with pytest.raises(Malformed, match=says):
        change_log_settings({"log_info": False} | asked, levels)
    assert log_settings(levels) == AT_INFO
