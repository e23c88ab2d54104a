"""`octet config`: what the settings come to, and where each came from."""

import json
from typing import Any

import click

from app.cli.main import HELP_OPTIONS
from app.cli.options import settings_options, shown
from app.settings import Settings, load_settings, names, origins


@click.command(context_settings=HELP_OPTIONS)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: {name: {value, source}}.")
@settings_options
def config(flags: dict[str, Any], as_json: bool) -> None:
    """Print every effective setting and where it came from: a flag, a variable, a file, or the default.

    Takes the flags of `octet serve`, and so tells what it would do with them.
    """
    sources = origins(flags)
    values = effective(load_settings(flags))
    if as_json:
        rows = {key: {"value": value, "source": sources.get(key, "default")} for key, value in values.items()}
        click.echo(json.dumps(rows, indent=2, default=str))
        return
    texts = {key: shown(value) for key, value in values.items()}
    key_width, text_width = (max(map(len, column)) for column in (texts.keys(), texts.values()))
    for key, text in texts.items():
        click.echo(f"{key:{key_width}}  {text:{text_width}}  {sources.get(key, 'default')}")


def effective(settings: Settings) -> dict[str, Any]:
    """Every setting by name; those that a file sets for one model follow as `models.NAME.KEY`."""
    values = {key: getattr(settings, key) for key in names()}
    for name, own in settings.models.items():
        values |= {f"models.{name}.{key}": value for key, value in own.model_dump(exclude_unset=True).items()}
    return values
