"""Jobs of a server on the digits model: asked for, looked at, waited for."""

from pathlib import Path
from typing import Any

from tests.service.process import Octet, eventually

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
ROWS = {"calibration": "calibration.npz", "evaluate": "test.npz"}
LAX = {**ROWS, "max_drop": 0.05, "min_speedup": 0, "recipes": ["int8"]}
# Takes long enough to be met while it runs, however fast the machine.
LONG = {**ROWS, "max_drop": 0.05}
PATH = "/v1/models/digits/versions/1.0.0:quantize"
ONE_JOB_SECONDS = 100


def ask(server: Octet, wish: object) -> dict[str, Any]:
    answer = server.client.post(PATH, json=wish)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    return job


def look(server: Octet, number: int) -> dict[str, Any]:
    answer = server.get(f"/v1/jobs/{number}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def until(server: Octet, number: int, state: str) -> dict[str, Any]:
    """The job, once it is in this state. It may not end in another one."""

    def is_there() -> dict[str, Any] | None:
        job = look(server, number)
        assert job["state"] in ("queued", "running", state), job
        return job if job["state"] == state else None

    found = eventually(is_there, f"job {number} is {state}", ONE_JOB_SECONDS)
    assert found is not None
    return found


def until_at_work(server: Octet, number: int) -> dict[str, Any]:
    """The job, once its process has told of its progress."""

    def progress() -> dict[str, Any] | None:
        job = look(server, number)
        assert job["state"] in ("queued", "running"), job
        return job["progress"]

    found = eventually(progress, f"job {number} tells of its progress", ONE_JOB_SECONDS)
    assert found is not None
    return found


def post(server: Octet, number: int, verb: str) -> tuple[int, dict[str, Any]]:
    answer = server.client.post(f"/v1/jobs/{number}:{verb}")
    return answer.status_code, answer.json()


def processes_of(store_folder: Path) -> list[int]:
    """The processes of jobs on this store, and of what they started."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                environment = (process / "environ").read_bytes()
            except OSError:  # gone meanwhile, or another user's
                continue
            if f"TMPDIR={store_folder}/jobs/".encode() in environment:
                found.append(int(process.name))
    return found
