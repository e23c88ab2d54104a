"""A server process from its start over its signals to its drain: alone, or one of several."""

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

import structlog
import uvicorn

from app.cli.greeting import greeting
from app.cli.place import Place
from app.cli.ports import listen, share
from app.control.unloaded import Unloaded
from app.http.api import make_api
from app.http.asgi import Entry
from app.http.cors import ANSWER_HEADERS
from app.http.fast_protocol import FastProtocol, fits
from app.lifespan import Service, running
from app.logs import Levels, set_up_logs
from app.settings import Settings

# How long another thread (a load, a worker's few lines of Python) may keep the event loop from going on. Python's 5 ms
# would be seen in the p99 of a hot swap.
_SWITCH_SECONDS = 0.0005
_STOPS = (signal.SIGTERM, signal.SIGINT)


def serve_alone(settings: Settings) -> None:
    """Serve in this process until a signal. Raises SettingsError where a port is taken, before anything is loaded."""
    ports = [settings.port] if settings.metrics_port is None else [settings.port, settings.metrics_port]
    levels = _set_up_logs(settings)
    _run(settings, levels, [listen(settings.host, port) for port in ports], None)


def serve_at(settings: Settings, place: Place) -> None:
    """Serve in this process, which is one of several, until the supervisor says so or is gone. Raises SettingsError."""
    levels = _set_up_logs(settings)
    structlog.contextvars.bind_contextvars(process=place.index)
    listening = [share(settings.host, port) for port in (place.port, place.own_port)]
    _run(settings, levels, listening, socket.socket(fileno=place.line), Unloaded(place.unloaded))


def _set_up_logs(settings: Settings) -> Levels:
    levels = Levels(settings.log_level)
    set_up_logs(levels, settings.log_format)
    return levels


def _run(
    settings: Settings,
    levels: Levels,
    listening: list[socket.socket],
    line: socket.socket | None,
    unloaded: Unloaded | None = None,
) -> None:
    """`line` leads to the supervisor, where there is one: it is told once when all is loaded, and its end is heard."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        if runner.run(_serve(settings, levels, listening, line, unloaded)):
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


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: `_until_stopped` decides what a signal means."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

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


async def _serve(
    settings: Settings,
    levels: Levels,
    listening: list[socket.socket],
    line: socket.socket | None,
    unloaded: Unloaded | None,
) -> bool:
    """Serve until stopped; True when a thread is left behind that still loads a model."""
    async with running(settings, levels, unloaded) as service:
        stopped = _stopped(line)
        if line is None or await _is_loaded(service, stopped):
            await _answer(service, listening, line, stopped)
    service.log.info("stopped")
    return service.left_behind


def _stopped(line: socket.socket | None) -> asyncio.Event:
    """Set when a signal comes, or when the supervisor is gone."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _STOPS:
        loop.add_signal_handler(number, stopped.set)

    if line is not None:
        loop.add_reader(line, _supervisor_is_gone, line, stopped)
    return stopped


def _supervisor_is_gone(line: socket.socket, stopped: asyncio.Event) -> None:
    """Nothing is ever said on the line to here: what can be read is its end."""
    asyncio.get_running_loop().remove_reader(line)
    stopped.set()


async def _is_loaded(service: Service, stopped: asyncio.Event) -> bool:
    """Whether all is loaded. Until then the connections are the other processes'; False when stopped before."""
    ways = {asyncio.create_task(service.watch.settled()), asyncio.create_task(stopped.wait())}
    _, pending = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for way in pending:
        way.cancel()
    return not stopped.is_set()


async def _answer(
    service: Service, listening: list[socket.socket], line: socket.socket | None, stopped: asyncio.Event
) -> None:
    """Answer requests until stopped, and finish what is in flight then."""
    server = _server(service)
    serving = asyncio.create_task(server.serve(sockets=listening))
    greets = asyncio.create_task(_greet(service, server, listening[0].getsockname()[1], line))
    await asyncio.wait({serving, asyncio.create_task(stopped.wait())}, return_when=asyncio.FIRST_COMPLETED)
    greets.cancel()
    if line is None:  # to one of several the supervisor passes on what systemd may have sent to all: that is not two
        _end_at_the_next_signal()
    await service.drain()
    server.should_exit = True
    await serving


def _end_at_the_next_signal() -> None:
    """A second signal is for the impatient: it ends the process, and not as a KeyboardInterrupt amid the drain."""
    for number in _STOPS:
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)


async def _greet(service: Service, server: _Server, port: int, line: socket.socket | None) -> None:
    """Once all is loaded, say so."""
    await service.watch.settled()
    await server.listens.wait()
    gc.collect()
    gc.freeze()  # what start-up made stays: later collections need not look at it
    text = greeting(service, port)
    if line is None:
        print(text, flush=True)
    else:
        line.sendall(text.encode())
        line.shutdown(socket.SHUT_WR)
