"""Triton's logging settings, which steer this server's log.

Source: `extension_logging.md` in triton-inference-server/server; its code, not its text, says `log_warning`.
"""

from collections.abc import Mapping
from typing import Any

from app.logs import Levels
from app.protocols.triton_checks import Check, checked, only, switch

_FORMAT = "ISO8601"


def log_settings(levels: Levels) -> dict[str, Any]:
    """What is logged now, in the order of Triton's document."""
    return {
        "log_file": "",
        "log_info": levels.info,
        "log_warning": levels.warning,
        "log_error": levels.error,
        "log_verbose_level": levels.verbose,
        "log_format": _FORMAT,
    }


def change_log_settings(asked: Mapping[str, Any], levels: Levels) -> None:
    """Set what is named. Raises Malformed, and changes nothing then."""
    settings = checked(asked, _CHECKS)
    levels.change(**{_LEVELS[name]: value for name, value in settings.items() if name in _LEVELS})


def _verbose(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise ValueError("a whole number; 1 and above log a line a request")
    return value


_LEVELS = {"log_info": "info", "log_warning": "warning", "log_error": "error", "log_verbose_level": "verbose"}
_CHECKS: dict[str, Check] = {
    "log_file": only("", "the log goes to the server's standard error"),
    **dict.fromkeys(("log_info", "log_warning", "log_error"), switch),
    "log_verbose_level": _verbose,
    "log_format": only(_FORMAT, "every line has its time so"),
}
