"""`octet serve --processes N`: whole servers on one port, each with its share of the cores, kept up until a signal.

The supervisor loads nothing and answers nobody. It holds the ports without listening there, so that no connection goes
to a process that is gone.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any

from app.cli.keeper import Command, Keeper
from app.cli.place import Place
from app.cli.ports import reserve
from app.cli.shares import shares
from app.logs import Levels, set_up_logs
from app.settings import Settings, SettingsError
from engines.machine import SHARE_VARIABLE, usable_cores

# What a process takes beyond its drain: to free its models, end its job and close its store.
_MARGIN_SECONDS = 5.0
_LARGEST_PORT = 65_535


def supervise(settings: Settings, flags: dict[str, Any]) -> int:
    """Serve until a signal, or until a process cannot be kept up. Gives the exit status. Raises SettingsError."""
    _refuse_what_needs_one_process(settings)
    set_up_logs(Levels(settings.log_level), settings.log_format)
    portions = shares(os.sched_getaffinity(0), usable_cores(), settings.processes)
    with _reserved(settings) as (port, *own_ports), os.fdopen(os.memfd_create("octet-unloaded"), "r+b") as unloaded:

        def command(index: int, line: int) -> Command:
            place = Place(index, port, own_ports[index], portions[index].processors, line, unloaded.fileno())
            words = (sys.executable, "-P", "-m", "app.cli.one_of_several", json.dumps(asdict(place)), json.dumps(flags))
            environment = os.environ | {SHARE_VARIABLE: str(portions[index].cores)}
            return Command(words, environment, (unloaded.fileno(),))

        def greet(greeting: str) -> None:
            alone = ", ".join(map(str, own_ports))
            print(f"{greeting}\n{len(own_ports)} processes, each alone with its /metrics on port {alone}", flush=True)

        keeper = Keeper(command, settings.processes, greet, end_seconds=settings.drain_seconds + _MARGIN_SECONDS)
        return asyncio.run(keeper.run())


def _refuse_what_needs_one_process(settings: Settings) -> None:
    if not hasattr(os, "sched_setaffinity"):
        raise SettingsError("processes share a port and the cores as only Linux does it: use --processes 1 here")
    if settings.shared_memory:
        raise SettingsError(
            "shared memory is registered with one process, and requests may come to another one: "
            "use --processes 1, or --no-shared-memory"
        )


@contextmanager
def _reserved(settings: Settings) -> Iterator[list[int]]:
    """The common port, and that of each process, taken for them. Raises SettingsError."""
    with ExitStack() as held:

        def take(port: int) -> int:
            taken: int = held.enter_context(reserve(settings.host, port)).getsockname()[1]
            return taken

        port = take(settings.port)
        first = settings.port and port + 1 if settings.metrics_port is None else settings.metrics_port
        if first + settings.processes - 1 > _LARGEST_PORT:
            raise SettingsError(
                f"there are no {settings.processes} ports from {first} on, one for each process: "
                "choose another --metrics-port"
            )
        yield [port, *(take(first and first + index) for index in range(settings.processes))]
