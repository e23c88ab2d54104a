"""How messages quote what a client sent and what was expected: enough of it to see the mistake."""

import json
from collections.abc import Collection
from itertools import islice
from typing import Any


def told(value: Any) -> str:
    """A JSON value."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


def quoted(name: str) -> str:
    """A name."""
    return f"'{name[:100]}'"


def listed(names: Collection[str]) -> str:
    """Several names."""
    shown = [*map(quoted, islice(names, 20))]
    return ", ".join([*shown, "..."] if len(names) > len(shown) else shown) or "none"


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape that a signature asks for, `?` for a dynamic dimension."""
    return "[" + ", ".join("?" if size == -1 else str(size) for size in shape) + "]"
