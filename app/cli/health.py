"""`octet health`: whether a server on this host is ready; what a container's HEALTHCHECK runs."""

import http.client
import json
import sys
from contextlib import closing
from typing import Any

import click

from app.cli.main import HELP_OPTIONS
from app.cli.options import settings_options
from app.settings import load_settings

_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  what a server may listen on; none is bound here
_MOST_SECONDS = 5


@click.command(context_settings=HELP_OPTIONS)
@settings_options
def health(flags: dict[str, Any]) -> None:
    """Ask the server whether it is ready: exit status 0 if it is, 1 if not or if nobody answers.

    Takes the flags of `octet serve` and its variables, and so asks where that listens.
    """
    settings = load_settings(flags)
    host = _EVERY_ADDRESS.get(settings.host, settings.host)
    try:
        answer = _asked(host, settings.port)
        is_ready, told = answer["ready"], _told(answer)
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        click.echo(f"no Octet answers on {host} port {settings.port}: {error}", err=True)
        sys.exit(1)
    click.echo(told)
    sys.exit(0 if is_ready else 1)


def _asked(host: str, port: int) -> Any:
    with closing(http.client.HTTPConnection(host, port, timeout=_MOST_SECONDS)) as connection:
        connection.request("GET", "/healthz/ready")
        return json.loads(connection.getresponse().read())


def _told(answer: dict[str, Any]) -> str:
    if answer["ready"]:
        return "ready"
    waiting = [name for name, ready in answer["models"].items() if not ready]
    return "draining" if answer["draining"] else f"not ready: {', '.join(waiting) or 'the store is not read yet'}"
