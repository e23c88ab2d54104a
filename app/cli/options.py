"""The settings as command-line flags: one flag a setting, its help taken from `app.settings`."""

import functools
from collections.abc import Callable
from typing import Any, get_args

import click

from app.settings import PREFIX, Settings, flag, names


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `command` a flag for each setting. It is called with `flags`: {name: text} of those that were given.

    Nothing is validated here: `load_settings(flags)` does that alike for every source.
    """

    @functools.wraps(command)
    def with_flags(**given: Any) -> Any:
        flags = {key: given.pop(key) for key in names()}
        return command(flags={key: text for key, text in flags.items() if text not in (None, ())}, **given)

    built: Callable[..., Any] = with_flags
    for key in reversed(names()):
        built = _option(key)(built)
    return built


def _option(key: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    field = Settings.model_fields[key]
    default = "" if field.default in (None, ()) else f"; default {shown(field.default)}"
    help_text = f"{field.description} [{PREFIX}{key.upper()}{default}]"
    if field.annotation is bool:
        return click.option(f"{flag(key)}/{flag('no_' + key)}", key, default=None, help=help_text)
    return click.option(
        flag(key),
        key,
        metavar=_metavar(key),
        multiple=key == "model",
        help=help_text,
    )


def _metavar(key: str) -> str:
    choices = [choice for choice in get_args(Settings.model_fields[key].annotation) if isinstance(choice, str)]
    named = {"config": "FILE", "store": "DIR", "model": "NAME", "host": "ADDRESS", "otlp_endpoint": "URL"}
    return "|".join(choices) or named.get(key, "N")


def shown(value: object) -> str:
    """A setting's value as one would write it, `digits,other`; `-` where there is none."""
    if value in (None, ()):
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
