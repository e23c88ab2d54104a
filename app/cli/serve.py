"""`octet serve`: one server in this process, or several under a supervisor."""

import sys
from typing import Any

import click

from app.cli.main import HELP_OPTIONS
from app.cli.options import settings_options
from app.settings import load_settings


@click.command(context_settings=HELP_OPTIONS)
@settings_options
def serve(flags: dict[str, Any]) -> None:
    """Serve the models of a store over REST.

    Every setting can also come from a variable OCTET_NAME or from a TOML file (--config); flags win over variables,
    those over the file. Settings of single models stand in the file as [models.NAME].
    """
    settings = load_settings(flags)
    if settings.processes == 1:
        from app.cli.server import serve_alone

        serve_alone(settings)
    else:
        from app.cli.supervisor import supervise

        sys.exit(supervise(settings, flags))
