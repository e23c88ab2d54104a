"""Quantization as a job of a server: from the request to a variant that serves, and everything that comes between."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnxruntime.quantization import quantize_dynamic

from model_store.store import Store
from tests.service.conftest import Publish, Start
from tests.service.jobs import (
    DIGITS,
    LAX,
    LONG,
    ONE_JOB_SECONDS,
    PATH,
    ROWS,
    ask,
    look,
    post,
    processes_of,
    until,
    until_at_work,
)
from tests.service.process import eventually

# A job gets what others leave of the machine, and some tests run several.
pytestmark = pytest.mark.timeout(3 * ONE_JOB_SECONDS)
IMAGE = [[[0.0] * 8] * 8]


def test_a_job_makes_a_variant_that_serves_and_the_server_answers_meanwhile(
    start_digits: Start, store_folder: Path
) -> None:
    server = start_digits()
    job = ask(server, LAX)
    assert (job["id"], job["model"], job["version"], job["wish"]["recipes"]) == (1, "digits", "1.0.0", ["int8"])
    progress = until_at_work(server, 1)
    assert progress["variant"] == "int8"
    assert 0 <= progress["done"] <= 1
    (process, *_) = processes_of(store_folder)
    assert (os.getpriority(os.PRIO_PROCESS, process), os.sched_getscheduler(process)) == (19, os.SCHED_IDLE)
    assert os.getsid(process) == os.getsid(server.process.pid), "by which Linux weighs its priority"
    assert len(server.rows("digits", [IMAGE])) == 1
    done = until(server, 1, "done")
    (result,) = done["result"]
    assert (result["recipe"], result["variant"], result["passed"]) == ("int8", "int8", True)
    assert done["attempts"] == 1
    assert done["error"] is done["progress"] is None
    eventually(lambda: server.predict("digits", {"instances": [IMAGE]}).headers["octet-variant"] == "int8", "it serves")
    assert server.sample('octet_jobs{state="done"}') == 1
    assert [line["job"] for line in server.log("job done")] == [1]
    assert not list((store_folder / "jobs").iterdir())
    server.stop()


def test_jobs_wait_in_a_queue_and_are_cancelled_waiting_or_at_work(start_digits: Start, store_folder: Path) -> None:
    server = start_digits()
    for number in (1, 2):
        ask(server, LONG)
        assert look(server, number)["id"] == number
    until_at_work(server, 1)
    assert [job["state"] for job in server.get("/v1/jobs").json()["jobs"]] == ["running", "queued"]
    assert post(server, 2, "cancel")[1]["state"] == "cancelled"
    assert post(server, 1, "cancel")[1]["state"] == "cancelled"
    assert processes_of(store_folder) == []
    assert not list((store_folder / "jobs").iterdir())
    status, told = post(server, 1, "cancel")
    assert (status, told) == (409, {"error": "the job is cancelled; to cancel it, it must be queued or running"})
    assert post(server, 2, "retry")[0] == 202
    until_at_work(server, 2)
    server.stop()
    assert processes_of(store_folder) == []
    with Store.open(store_folder) as store:
        assert store.resolve("digits").variants[0].name == "fp32"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_whose_server_ended_has_failed_and_can_be_retried(
    start_digits: Start, store_folder: Path, how: int
) -> None:
    first = start_digits()
    ask(first, LAX)
    ask(first, {**LAX, "recipes": ["int8-symmetric"]})
    until_at_work(first, 1)
    first.signal(how)
    first.exit_code()
    eventually(lambda: not processes_of(store_folder), "the process of the job is gone")

    second = start_digits()
    job = look(second, 1)
    assert (job["state"], job["error"]) == (
        "failed",
        "it was cut off: the server stopped, or could not write down how it ended; retry it",
    )
    until(second, 2, "done")
    assert post(second, 2, "retry")[0] == 409
    status, retried = post(second, 1, "retry")
    assert (status, retried["error"]) == (202, None)
    assert until(second, 1, "done")["attempts"] == 2
    second.stop()
    with Store.open(store_folder) as store:
        assert {variant.name for variant in store.resolve("digits").variants} == {"fp32", "int8", "int8-symmetric"}
    assert not list((store_folder / "jobs").iterdir())


def test_the_process_of_a_job_is_killed_when_its_pipe_closes(publish: Publish, store_folder: Path) -> None:
    publish("digits", "1.0.0", onnx.load(DIGITS / "digits.onnx"))
    rows = ("--calibration", str(DIGITS / "calibration.npz"), "--recipe", "int8")
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "app.cli.as_job", "quantize", "digits", *rows, "--store", str(store_folder)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(ONE_JOB_SECONDS) == -signal.SIGKILL


def test_what_cannot_be_made_fails_and_says_why(start_digits: Start) -> None:
    server = start_digits()
    ask(server, {**LAX, "calibration": "digits.onnx"})
    assert "digits.onnx" in until(server, 1, "failed")["error"]
    server.stop()


def test_what_was_quantized_elsewhere_is_taken_in_from_the_folder_of_rows(
    publish: Publish, start: Start, store_folder: Path, tmp_path: Path
) -> None:
    publish("digits", "1.0.0", onnx.load(DIGITS / "digits.onnx"))
    shutil.copytree(DIGITS, tmp_path / "rows")
    quantize_dynamic(DIGITS / "digits.onnx", tmp_path / "rows" / "mine.onnx", op_types_to_quantize=["MatMul", "Gemm"])
    server = start("--rows", str(tmp_path / "rows"))
    ask(server, {**ROWS, "max_drop": 0.05, "imports": {"mine": "mine.onnx"}})
    (result,) = until(server, 1, "done")["result"]
    assert (result["recipe"], result["variant"]) == ("mine", "mine")
    server.stop()
    with Store.open(store_folder) as store:
        assert [variant.name for variant in store.resolve("digits").variants] == ["fp32", "mine"]


def test_what_is_refused(start_digits: Start) -> None:
    server = start_digits()
    for path, wish, status, told in (
        (PATH, {}, 400, "calibration: Field required"),
        (PATH, {"calibration": "nowhere.npz"}, 400, "there are no rows 'nowhere.npz'; name an .npz"),
        (PATH, {**ROWS, "evaluate": "../digits.npz"}, 400, "there are no rows '../digits.npz'"),
        (PATH, {**ROWS, "evaluate": "my.rows:batches"}, 400, "run `octet quantize` there"),
        (PATH, {**ROWS, "metric": "my:metric"}, 400, "which no request may run; use `octet quantize`"),
        (PATH, {**ROWS, "max_drop": 1.5}, 400, "max_drop: Input should be less than or equal to 1"),
        (PATH, {**ROWS, "min_speedup": "fast"}, 400, "min_speedup: Input should be a valid number"),
        (PATH, {**ROWS, "recipes": "int8"}, 400, "recipes: Input should be a valid list"),
        (PATH, {**ROWS, "recipes": ["--json"]}, 400, "there is no recipe '--json'; the recipes are: int8, "),
        (PATH, {**ROWS, "imports": {"int8": "digits.onnx"}}, 400, "'int8' is the name of a recipe"),
        (PATH, {**ROWS, "imports": {"fp32": "digits.onnx"}}, 400, "'fp32' is the name of a recipe or policy"),
        (PATH, {**ROWS, "imports": {"mine": "nowhere.onnx"}}, 400, "there is no file 'nowhere.onnx' to take in"),
        (PATH, {**ROWS, "imports": {"mine": "../../README.md"}}, 400, "there is no file '../../README.md'"),
        (PATH, {**ROWS, "imports": {"mine": "."}}, 400, "there is no file '.' to take in"),
        (PATH, {**ROWS, "imports": {"a=b": "digits.onnx"}}, 400, "variant name 'a=b' is not allowed"),
        (PATH, {**ROWS, "imports": {"mine": "\0"}}, 400, "imports: Value error, a text may hold no null byte"),
        (PATH, {**ROWS, "recipes": ["\0"]}, 400, "recipes: Value error, a text may hold no null byte"),
        (PATH, {**ROWS, "exclude": ["\ud800"]}, 400, "no half of a surrogate pair"),
        (PATH, {**ROWS, "speed": 1}, 400, "speed: Extra inputs are not permitted"),
        (PATH.replace("1.0.0", "2"), ROWS, 404, "digits"),
        (PATH.replace("digits", "digist"), ROWS, 404, "digist"),
        ("/v1/jobs/1:cancel", {}, 404, "there is no job 1; GET /v1/jobs lists them"),
        ("/v1/jobs/99999999999999999999:retry", {}, 404, "a job has a number"),
    ):
        answer = server.client.post(path, content=json.dumps(wish))
        assert answer.status_code == status, answer.text
        assert told in answer.json()["error"]
    assert server.get("/v1/jobs/9223372036854775808").status_code == 404
    assert server.get("/v1/jobs").json() == {"jobs": []}
    server.stop()


def test_a_server_that_was_not_told_their_folder_has_no_jobs(start_digits: Start, start: Start) -> None:
    first, second = start_digits(), start()
    answers = [second.client.post(PATH, json=ROWS), second.get("/v1/jobs"), second.get("/v1/jobs/1")]
    assert [answer.status_code for answer in answers] == [501, 501, 501]
    assert all("--rows FOLDER" in answer.json()["error"] for answer in answers)
    for server in (first, second):
        server.stop()


def test_every_server_of_a_store_takes_jobs_up_and_one_runs_them(start_digits: Start, store_folder: Path) -> None:
    first = start_digits()
    eventually(lambda: first.sample("octet_jobs") == 0 and "octet_jobs{" in first.get("/metrics").text, "it runs them")
    second = start_digits()
    ask(second, LONG)
    for server in (first, second):
        until_at_work(server, 1)
    assert len(first.log("job running")) == 1
    assert not second.log("job running")
    assert "octet_jobs{" not in second.get("/metrics").text, "counted once"
    ask(second, LAX)
    assert [job["state"] for job in first.get("/v1/jobs").json()["jobs"]] == ["running", "queued"]
    assert post(second, 1, "cancel")[1]["state"] == "cancelled"
    assert f"TMPDIR={store_folder}/jobs/1" not in str(list(map(environment, processes_of(store_folder))))
    assert until(second, 2, "done")["attempts"] == 1
    second.stop()
    first.stop()


def test_when_the_server_that_runs_them_is_killed_another_one_does(start_digits: Start, store_folder: Path) -> None:
    first = start_digits()
    ask(first, LAX)
    until_at_work(first, 1)
    second = start_digits()
    ask(second, LAX)
    third = start_digits()
    assert look(third, 1)["state"] == "running", "it goes on"
    second.stop()
    first.signal(signal.SIGKILL)
    first.exit_code()
    assert "it was cut off" in until(third, 1, "failed")["error"]
    until(third, 2, "done")
    third.stop()
    assert not list((store_folder / "jobs").iterdir())


def environment(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/environ").read_bytes()
    except OSError:
        return b""
