"""What a server reaches over HTTP with requests of 32 rows, beside the same engine in process.

    python -m benchmarks.gpu_served URL BODY JSON_BYTES CONNECTIONS SECONDS

is the client: wrk is not on every machine that has a GPU. It prints requests a second.
"""

import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from benchmarks.gpu_cases import Case
from benchmarks.servers import ROOT, Server, octet, publish

CONNECTIONS = 8
INSTANCES = 2
"""Of the server; in process, as many workers."""
_DATATYPES = {"float32": "FP32", "int64": "INT64"}


class Served(NamedTuple):
    """What came of it."""

    engine: str
    """What the server says that it ran."""
    rows_per_second: float


def serve(case: Case, folder: Path, rows: int, seconds: float) -> Served:
    """Publish the case's file, serve it, and send it batches as binary tensors."""
    name = str(case).replace(" ", "-")
    store = folder / f"store-{name}"
    publish(store, name, case.path, "1.0.0")
    head, body = _request(case, rows)
    file = folder / f"{name}.body"
    file.write_bytes(head + body)
    flags = ("--instances", str(INSTANCES), "--threads", "1", "--max-batch-rows", str(rows), "--deadline-ms", "60000")
    with octet(store, *flags) as server:
        path = f"/v2/models/{name}/infer"
        engine = _engine_of(server, path, file, len(head))
        command = [
            sys.executable, "-m", "benchmarks.gpu_served", f"http://127.0.0.1:{server.port}{path}",
            str(file), str(len(head)), str(CONNECTIONS), str(seconds),
        ]  # fmt: skip
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        return Served(engine, float(done.stdout) * rows)


def _request(case: Case, rows: int) -> tuple[bytes, bytes]:
    """JSON and bytes of one request of the open inference protocol with binary tensors."""
    tensors, parts = [], []
    for spec in case.signature.inputs:
        array = case.rows[spec.name][:rows]
        parts.append(array.tobytes())
        size = {"binary_data_size": len(parts[-1])}
        tensors.append(
            {"name": spec.name, "shape": array.shape, "datatype": _DATATYPES[spec.dtype], "parameters": size}
        )
    return json.dumps({"parameters": {"binary_data_output": True}, "inputs": tensors}).encode(), b"".join(parts)


def _engine_of(server: Server, path: str, body: Path, json_bytes: int) -> str:
    with _connected(server.port) as connection:
        status, head = _exchange(connection, _message(path, body.read_bytes(), json_bytes))
    if status != 200:
        raise RuntimeError(f"{path} answered {status}: {head.decode(errors='replace')}")
    return next(
        (line.partition(b": ")[2].decode() for line in head.split(b"\r\n") if line.startswith(b"octet-engine")), "?"
    )


# ---- the client


def _message(path: str, body: bytes, json_bytes: int) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\n"
        f"Inference-Header-Content-Length: {json_bytes}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _exchange(connection: socket.socket, message: bytes) -> tuple[int, bytes]:
    """Send one request and read its answer to the end; gives its status and its head."""
    connection.sendall(message)
    received = b""
    while b"\r\n\r\n" not in received:
        received += _received(connection, 65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    )
    left = length - len(body)
    while left:
        left -= len(_received(connection, min(left, 1 << 20)))
    return int(head.split(b" ", 2)[1]), head


def _received(connection: socket.socket, most_bytes: int) -> bytes:
    data = connection.recv(most_bytes)
    if not data:
        raise ConnectionError("the server closed the connection in the midst of an answer")
    return data


def requests_per_second(url: str, message: bytes, connections: int, seconds: float) -> float:
    """Each connection sends the next request when it has its answer. An answer that is not 200 ends it all."""
    port = urlsplit(url).port or 80
    start, end = threading.Barrier(connections + 1), threading.Event()
    answered, failed = [0] * connections, list[str]()

    def work(index: int) -> None:
        with _connected(port) as connection:
            _exchange(connection, message)  # warm-up
            start.wait()
            while not end.is_set():
                status, head = _exchange(connection, message)
                if status != 200:
                    failed.append(head.decode(errors="replace"))
                    end.set()
                answered[index] += 1

    workers = [threading.Thread(target=work, args=(index,)) for index in range(connections)]
    for worker in workers:
        worker.start()
    start.wait()
    began = time.perf_counter()
    end.wait(seconds)
    end.set()
    for worker in workers:
        worker.join()
    if failed:
        raise RuntimeError(f"the server did not answer every request: {failed[0]}")
    return sum(answered) / (time.perf_counter() - began)


if __name__ == "__main__":
    address, file_name, json_size, count, duration = sys.argv[1:]
    sent = _message(urlsplit(address).path, Path(file_name).read_bytes(), int(json_size))
    print(requests_per_second(address, sent, int(count), float(duration)))
