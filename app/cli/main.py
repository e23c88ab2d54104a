"""The command `octet`. A sub-command is imported when it runs or its own help is asked for, never before."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import click

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}
"""The context settings of every command; click remembers the first ones it meets, so all have the same."""

COMMANDS = {
    "model": ("app.cli.model:model", "Publish, list, label, retire and check the models of a store."),
    "quantize": ("app.cli.quantize:quantize", "Make, measure and judge low-precision variants of a version."),
    "engine": ("app.cli.engine:engine", "Ask TensorRT about models, and build, list and remove its plans."),
    "serve": ("app.cli.serve:serve", "Serve models over REST."),
    "health": ("app.cli.health:health", "Ask whether a server on this host is ready."),
    "config": ("app.cli.config:config", "Print every effective setting and where it came from."),
}
"""Name -> where its click command is, and its line in `octet --help` (which must not import it)."""


class LazyCommands(click.Group):
    """A group whose members come from COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message} The commands are: {', '.join(COMMANDS)}.", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyCommands, context_settings=HELP_OPTIONS)
@click.version_option(package_name="octet-serving", message="octet %(version)s", help="Print the version and stop.")
def octet() -> None:
    """Octet serves ONNX models over REST."""


def main() -> None:
    """Run the command line."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime would send its events to Microsoft by default
    with telling_plainly():
        octet(prog_name="octet")


@contextmanager
def telling_plainly() -> Iterator[None]:
    """What a user can mend becomes `octet: <message>` on stderr and exit status 1."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, _told_plainly()):
            raise
        print(f"octet: {error}", file=sys.stderr)
        sys.exit(1)


def _told_plainly() -> tuple[type[Exception], ...]:
    """The errors whose message is all that a user needs; imported only once one of them may have come."""
    from app.settings import SettingsError
    from engines.errors import EngineError
    from model_store.errors import StoreError

    return EngineError, SettingsError, StoreError
