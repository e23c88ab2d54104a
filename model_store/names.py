"""Which names are allowed. All of these refuse before a path is touched."""

import re
from collections.abc import Sequence

from model_store.errors import InvalidName

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LABEL = re.compile(r"[A-Za-z0-9_]{1,64}")
_VARIANT = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_CACHE_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")

_TAKEN = {"stats": "/v2/models/stats is a path of the Open Inference Protocol"}
_MOST_CACHE_PARTS = 8


def check_model(name: str) -> str:
    """The name itself. Raises InvalidName."""
    _check(_MODEL, "model name", name, "1 to 128 letters, digits, '.', '_' and '-', with a letter or digit first")
    if name.lower() in _TAKEN:
        raise InvalidName(f"the model name {name!r} is taken: {_TAKEN[name.lower()]}. Choose another name.")
    return name


def check_label(label: str) -> str:
    """The label itself. Raises InvalidName."""
    return _check(_LABEL, "label", label, "1 to 64 letters, digits and '_'")


def check_variant(variant: str) -> str:
    """The variant's name itself. Raises InvalidName."""
    rule = "1 to 64 small letters, digits, '.', '_' and '-', with a letter or digit first"
    return _check(_VARIANT, "variant name", variant, rule)


def check_cache_key(key: str) -> str:
    """The key itself, parts joined by '/'. Raises InvalidName."""
    parts = key.split("/")
    if len(parts) > _MOST_CACHE_PARTS:
        raise InvalidName(f"cache key {key!r} has {len(parts)} parts; at most {_MOST_CACHE_PARTS} are allowed.")
    for part in parts:
        _check(_CACHE_PART, f"cache key {key!r}: part", part, "1 to 128 letters, digits, '.', '_' and '-'")
    return key


def check_files(names: Sequence[str]) -> None:
    """The files of one artifact must be able to lie in one folder, and none outside it. Raises InvalidName.

    `names` are POSIX paths relative to that folder.
    """
    for name in names:
        parts = name.split("/")
        if _CONTROL.search(name) or not set(parts).isdisjoint({"", ".", ".."}) or len(name.encode()) > 1024:
            raise InvalidName(f"external file {name!r} is not a plain path below the model's own folder. Export again.")
        if any(len(part.encode()) > 255 for part in parts):
            raise InvalidName(f"external file {name!r} has a part of more than 255 bytes. Export with shorter names.")
    folders = {name[: slash.start()] for name in names for slash in re.finditer("/", name)}
    clash = folders.intersection(names) or {name for name in names if names.count(name) > 1}
    if clash:
        raise InvalidName(f"external file {min(clash)!r} has the name of another file of the model. Export again.")


def key_of(name: str) -> str:
    """What a model is filed under: names are unique without regard to case."""
    return name.lower()


def _check(pattern: re.Pattern[str], kind: str, text: str, rule: str) -> str:
    if not pattern.fullmatch(text):
        raise InvalidName(f"{kind} {text!r} is not allowed: {rule}.")
    return text
