"""Options that several commands have alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def store_option(command: _Command) -> _Command:
    """`--store DIR`, which the command is called with as `folder`."""
    return click.option(
        "--store",
        "folder",
        metavar="DIR",
        envvar="OCTET_STORE",
        default="store",
        show_default=True,
        show_envvar=True,
        type=click.Path(path_type=Path),
        help="Folder of the model store.",
    )(command)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
"""`--json`, which the command is called with as `as_json`."""
