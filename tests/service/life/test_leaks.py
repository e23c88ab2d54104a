"""A server that runs for months: what comes and goes leaves nothing behind."""

from pathlib import Path

from tests import graphs
from tests.service.conftest import Publish, Start
from tests.service.process import Octet, eventually

CYCLES = 30
# The pool that reads the store grows by a few threads when it pleases; a leak would show as one or two a cycle.
SPARE_THREADS = 4


def held(server: Octet) -> tuple[int, int]:
    """Open files and threads of the process."""
    process = Path("/proc") / str(server.process.pid)
    return len(list((process / "fd").iterdir())), len(list((process / "task").iterdir()))


def test_versions_and_models_that_come_and_go_leave_no_file_and_no_thread(publish: Publish, start: Start) -> None:
    """Two threads a worker, so that ONNX Runtime has a pool of its own in each."""
    publish("m", "1.0.0", graphs.adding(1))
    server = start("--refresh-seconds", "3600", split=(1, 2))

    def cycle(number: int) -> None:
        version = f"1.0.{number}"
        store = publish("m", version, graphs.adding(number))
        server.refresh()
        assert server.rows("m", [[0, 0]]) == [[number, number]]
        store.retire("m", version)
        server.refresh()
        for verb in ("unload", "load"):
            assert server.client.post(f"/v2/repository/models/m/{verb}").status_code == 200
        assert server.rows("m", [[0, 0]]) == [[1, 1]]

    for number in range(2, 8):
        cycle(number)
    files, threads = held(server)
    for number in range(8, 8 + CYCLES):
        cycle(number)
    eventually(lambda: held(server)[0] <= files, f"no more than {files} files are open")
    eventually(lambda: held(server)[1] <= threads + SPARE_THREADS, f"not many more than {threads} threads")
    server.stop()
