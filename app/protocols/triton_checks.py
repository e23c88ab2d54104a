"""What a client of Triton sets by name, checked name by name: it is taken whole or not at all."""

from collections.abc import Callable, Mapping
from typing import Any

from app.errors import Malformed
from app.protocols.quoting import quoted, told

Check = Callable[[Any], Any]
"""Gives a value back as it is kept; raises ValueError with what was expected."""


def checked(asked: Mapping[str, Any], checks: Mapping[str, Check]) -> dict[str, Any]:
    """Every setting that was asked for, checked. Raises Malformed for the first that is wrong or unknown."""
    found = {}
    for name, value in asked.items():
        if name not in checks:
            raise Malformed(f"{quoted(name)} is not known here: known are {', '.join(checks)}")
        try:
            found[name] = checks[name](value)
        except ValueError as expected:
            raise Malformed(f"'{name}' is {told(value)}, expected {expected}") from None
    return found


def switch(value: Any) -> bool:
    """A setting that is on or off."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def only(allowed: str, why: str) -> Check:
    """A setting that other servers have and this one can have in one way."""

    def check(value: Any) -> str:
        if value != allowed:
            raise ValueError(f'"{allowed}": {why}')
        return allowed

    return check
