"""What a server says: its log lines, its greeting, and the line to try that stands in it."""

import json
import os
import subprocess
import sys

import pytest
from onnx import ModelProto

from tests import graphs
from tests.service.conftest import Publish, Start
from tests.service.networks import pair
from tests.service.process import Octet, eventually


@pytest.fixture
def published(publish: Publish) -> None:
    publish("m", "1.0.0", graphs.adding(1), "stable")


def test_the_life_of_a_server_at_info(published: None, publish: Publish, start: Start) -> None:
    server = start("--refresh-seconds", "3600")
    server.rows("m", [[0, 0]])
    assert server.predict("m", {}).status_code == 400
    store = publish("m", "1.1.0", graphs.adding(2), "stable")
    server.refresh()
    store.retire("m", "1.0.0")
    server.refresh()
    eventually(lambda: server.log("version is unloaded"), "the old one is gone")
    server.stop()
    said = [(line["event"], line.get("model"), line.get("version")) for line in server.log()]
    assert said == [
        ("version is available", "m", "1.0.0"),
        ("version is available", "m", "1.1.0"),
        ("version is unloaded", "m", "1.0.0"),
        ("draining", None, None),
        ("stopped", None, None),
    ]
    for line in server.log():
        assert line["level"] == "info"
        assert line["timestamp"].endswith("Z")
    (loaded, _) = server.log("version is available")
    assert loaded["engine"].startswith("onnxruntime ")
    assert loaded["seconds"] > 0


def test_one_line_a_request_at_debug(published: None, start: Start) -> None:
    server = start("--log-level", "debug")
    server.predict("m", {"instances": [[0, 0]]}, headers={"x-request-id": "first"})
    server.predict("m/versions/1", {"instances": [[0]]}, headers={"x-request-id": "second"})
    server.predict("nobody", {}, headers={"x-request-id": "third"})
    server.stop()
    lines = server.log("request")
    shown = [[line[key] for key in ("request_id", "model", "version", "variant", "status")] for line in lines]
    assert shown == [
        ["first", "m", "1.0.0", "fp32", 200],
        ["second", "m", "1.0.0", "fp32", 400],
        ["third", "nobody", None, None, 404],
    ]
    assert all(line["milliseconds"] > 0 and line["level"] == "debug" for line in lines)


def test_the_console_form_is_for_people(published: None, start: Start) -> None:
    server = start("--log-format", "console")
    server.stop()
    first, *_ = server.log_text.splitlines()
    assert "version is available" in first
    assert "model=m" in first
    assert "\x1b[" not in server.log_text, "colours are for terminals"
    with pytest.raises(json.JSONDecodeError):
        json.loads(first)


def test_a_terminal_gets_colours_without_being_asked() -> None:
    ours, its = os.openpty()
    says = "from app.logs import Levels, set_up_logs; import structlog; set_up_logs(Levels(), 'auto'); "
    says += "structlog.get_logger('octet').info('hello', model='m')"
    try:
        subprocess.run([sys.executable, "-c", says], stderr=its, timeout=30, check=True)
        shown = os.read(ours, 4096).decode()
    finally:
        os.close(its)
        os.close(ours)
    assert "hello" in shown
    assert "\x1b[" in shown


def curl_line(server: Octet) -> str:
    (line,) = [line for line in server.greeting.splitlines() if line.startswith("Try:")]
    return line.removeprefix("Try:").strip()


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(graphs.adding(1), id="batched"),
        pytest.param(pair(), id="pair"),
        pytest.param(graphs.operator("Neg", shape=()), id="rank0"),
        pytest.param(graphs.operator("Identity", "string"), id="text"),
        pytest.param(graphs.operator("Not", "bool", ("N", "M", 2)), id="bool"),
        pytest.param(graphs.operator("Neg", shape=("N", 3, 64, 64)), id="large"),
    ],
)
def test_the_line_to_try_works(model: ModelProto, publish: Publish, start: Start) -> None:
    publish("Model.1-a_b", "1.0.0", model, "stable")
    server = start()
    first, second, *_ = server.greeting.splitlines()
    assert first.startswith(f"Octet {server.get('/openapi.json').json()['info']['version']} on http://127.0.0.1:")
    assert second.startswith("  Model.1-a_b 1.0.0 (stable): fp32 on onnxruntime ")
    tried = subprocess.run(
        ["sh", "-c", f"{curl_line(server)} -w '%{{http_code}}'"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert tried.returncode == 0, tried.stderr
    assert tried.stdout.endswith("200"), tried.stdout


def test_an_ipv6_address_stands_in_brackets(published: None, start: Start) -> None:
    server = start("--host", "::1")
    assert " on http://[::1]:" in server.greeting
    assert server.rows("m", [[1, 2]]) == [[2, 3]]
