"""`octet health` beside a real server: ready, not ready, draining, not there."""

import signal
import socket
import threading
from pathlib import Path

import pytest

from tests import graphs
from tests.app.cli.test_main import octet
from tests.service.conftest import Publish, Start
from tests.service.networks import slow
from tests.service.process import alive, eventually
from tests.service.wire import request

_FOREVER = 10_000_000  # matrix products


def test_a_server_that_is_ready(publish: Publish, start: Start) -> None:
    publish("m", "1.0.0", graphs.adding(1))
    server = start()
    done = octet("health", OCTET_PORT=str(server.port), OCTET_HOST="0.0.0.0")  # noqa: S104  as in a container
    assert (done.returncode, done.stdout, done.stderr) == (0, "ready\n", "")


def test_a_server_that_waits_for_a_model(publish: Publish, start: Start) -> None:
    publish("m", "1.0.0", graphs.adding(1))
    server = start("--model", "m", "--model", "other")
    done = octet("health", "--port", str(server.port))
    assert (done.returncode, done.stdout) == (1, "not ready: other\n")


def test_a_server_that_drains(publish: Publish, start: Start) -> None:
    publish("slow", "1.0.0", slow())
    server = start()
    alive(server.connect()).send(request({"instances": [_FOREVER]}, "/v1/models/slow:predict"))
    alive(server.connect())
    server.signal(signal.SIGTERM)
    eventually(lambda: server.log("draining"), "the drain has begun")
    done = octet("health", "--port", str(server.port))
    assert (done.returncode, done.stdout) == (1, "draining\n")


def test_nobody_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = octet("health", "--port", str(port), folder=tmp_path)
    assert done.returncode == 1
    assert f"no Octet answers on 127.0.0.1 port {port}: " in done.stderr


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
    ids=["text", "json", "ssh"],
)
def test_something_else_listens_there(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def reply() -> None:
            connection, _ = other.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=reply)
        thread.start()
        done = octet("health", "--port", str(other.getsockname()[1]))
        thread.join()
    assert done.returncode == 1
    assert "no Octet answers" in done.stderr
