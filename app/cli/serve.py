"""`octet serve`: the server process from its start over its signals to its drain."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from math import ceil
from typing import Any

import click
import uvicorn

from app.cli.greeting import greeting
from app.cli.main import HELP_OPTIONS
from app.cli.options import settings_options
from app.http.api import make_api
from app.http.asgi import Entry
from app.http.cors import ANSWER_HEADERS
from app.http.fast_protocol import FastProtocol, fits
from app.lifespan import Service, running
from app.logs import Levels, set_up_logs
from app.settings import Settings, SettingsError, load_settings

# How long another thread (a load, a worker's few lines of Python) may keep the event loop from going on. Python's 5 ms
# would be seen in the p99 of a hot swap.
_SWITCH_SECONDS = 0.0005


@click.command(context_settings=HELP_OPTIONS)
@settings_options
def serve(flags: dict[str, Any]) -> None:
    """Serve the models of a store over REST.

    Every setting can also come from a variable OCTET_NAME or from a TOML file (--config); flags win over variables,
    those over the file. Settings of single models stand in the file as [models.NAME].
    """
    settings = load_settings(flags)
    levels = Levels(settings.log_level)
    set_up_logs(levels, settings.log_format)
    listening = _listen(settings)
    sys.setswitchinterval(_SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        if runner.run(_serve(settings, levels, listening)):
            _leave()
    if threading.active_count() > 1:  # a run outlived its drain: its thread would crash in a torn down interpreter
        _leave()


def _leave() -> None:
    """End the process without waiting for its threads."""
    logging.shutdown()
    os._exit(0)


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # not made for this platform
        return None
    return uvloop.new_event_loop


def _listen(settings: Settings) -> socket.socket:
    """Bind before anything is loaded, so that a taken port is known at once."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; choose another --host or --port"
        ) from None


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: `_serve` decides what a signal means."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(service: Service) -> _Server:
    """uvicorn's server with Octet's doors. Logs, signals and the lifespan are ours."""
    if not fits():
        service.log.warning("this uvicorn is not known: the fast door stays shut", uvicorn=uvicorn.__version__)
    return _Server(
        uvicorn.Config(
            Entry(service, make_api(service)),
            interface="asgi3",
            http=FastProtocol if fits() else "httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            headers=list(ANSWER_HEADERS) if service.settings.cors else [],
            timeout_keep_alive=ceil(service.settings.keep_alive_seconds),
            timeout_graceful_shutdown=1,  # inference was drained before; what is left is the control plane's
        )
    )


async def _serve(settings: Settings, levels: Levels, listening: socket.socket) -> bool:
    """Serve until a signal; True when a thread is left behind that still loads a model."""
    async with running(settings, levels) as service:
        server = _server(service)
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        greets = asyncio.create_task(_greet(service, listening.getsockname()[1]))
        await asyncio.wait({serving, asyncio.create_task(stopping.wait())}, return_when=asyncio.FIRST_COMPLETED)
        greets.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):  # a second signal is for the impatient
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)  # at once, not as a KeyboardInterrupt amid the drain
        await service.drain()
        server.should_exit = True
        await serving
    service.log.info("stopped")
    return service.left_behind


async def _greet(service: Service, port: int) -> None:
    """Once all is loaded, say so."""
    await service.watch.settled()
    gc.collect()
    gc.freeze()  # what start-up made stays: later collections need not look at it
    print(greeting(service, port), flush=True)
