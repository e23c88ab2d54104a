"""What the fast door takes for granted of the installed uvicorn."""

import asyncio

import pytest
import uvicorn
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState

from app.http import fast_protocol
from tests.service.process import Octet

PROTOCOL = {
    "app", "cycle", "expect_100_continue", "flow", "headers", "loop", "parser", "pipeline", "server_state",
    "timeout_keep_alive", "transport",
    "_start_asgi_task", "_unset_keepalive_if_required", "connection_lost", "connection_made", "data_received",
    "on_body", "on_headers_complete", "on_message_begin", "on_message_complete", "on_response_complete",
    "on_url", "on_header", "pause_writing", "resume_writing", "send_400_response", "shutdown",
}  # fmt: skip
CYCLE = {"disconnected", "message_event", "more_body", "response_complete"}
FLOW = {"pause_reading", "read_paused", "resume_reading", "resume_writing", "write_paused"}
PARSER = {"get_http_version", "get_method", "should_keep_alive", "should_upgrade"}


async def app(scope: object, receive: object, send: object) -> None:
    raise AssertionError("nobody asks")


async def test_the_installed_uvicorn_is_known_and_has_every_name() -> None:
    assert fast_protocol.fits()
    protocol = httptools_impl.HttpToolsProtocol(uvicorn.Config(app), ServerState(), {}, asyncio.get_running_loop())
    missing = {name for name in PROTOCOL if not hasattr(protocol, name)}
    flow = FlowControl(asyncio.Transport())
    missing |= {name for name in FLOW if not hasattr(flow, name)}
    missing |= {name for name in PARSER if not hasattr(protocol.parser, name)}
    # Set in __init__, which takes a whole connection to call.
    missing |= CYCLE - set(httptools_impl.RequestResponseCycle.__init__.__code__.co_names)
    assert not missing
    assert httptools_impl.STATUS_LINE[413].startswith(b"HTTP/1.1 413 ")
    assert ServerState().total_requests == 0
    assert ServerState().default_headers == []


@pytest.mark.parametrize("version", ["0.53.9", "0.55.0", "1.54.0", "0.540"])
def test_another_uvicorn_does_not_fit(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(uvicorn, "__version__", version)
    assert not fast_protocol.fits()


@pytest.mark.parametrize("name", fast_protocol._NEEDED)
def test_a_uvicorn_without_what_is_needed_does_not_fit(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delattr(httptools_impl.HttpToolsProtocol, name)
    assert not fast_protocol.fits()


def test_a_server_whose_uvicorn_does_not_fit_says_so_and_serves(server: Octet, asgi_server: Octet) -> None:
    assert ["the fast door stays shut" in octet.log_text for octet in (server, asgi_server)] == [False, True]
