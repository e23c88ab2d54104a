"""MLServer's command `mlserver infer`: a file of V2 requests in, a file of answers out."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.clients.client import installed
from tests.clients.served import expected
from tests.service.process import Octet
from tests.service.wire import PATIENCE_SECONDS

ROWS = np.array([[1, 2], [3, 0.5], [-1, 0]], np.float32)


def infer(server: Octet, folder: Path, model: str, requests: list[dict[str, Any]], *flags: str) -> list[dict[str, Any]]:
    """What the command answers to each request, in their order."""
    asked, answered = folder / "requests.jsonl", folder / "answers.jsonl"
    asked.write_text("".join(json.dumps(request) + "\n" for request in requests), "utf-8")
    address = ["--url", f"127.0.0.1:{server.port}", "--model-name", model, "--retries", "1"]
    files = ["--input-data-path", asked, "--output-data-path", answered]
    command = [installed("mlserver", "mlserver"), "infer", *address, *files, *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=2 * PATIENCE_SECONDS)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in answered.read_text("utf-8").splitlines()]
    assert len(answers) == len(requests), done.stderr
    return sorted(answers, key=lambda answer: answer["parameters"]["batch_index"])


def one_input(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"inputs": [{"name": name, "datatype": datatype, "shape": shape, "data": data}]}


@pytest.mark.parametrize("flags", [[], ["--batch-size", "2", "--binary-data"]], ids=" ".join)
def test_every_line_gets_its_answer(server: Octet, tmp_path: Path, flags: list[str]) -> None:
    requests = [one_input("x", "FP32", [1, 2], row.tolist()) for row in ROWS]
    answers = infer(server, tmp_path, "double", requests, *flags)
    for row, answer in zip(ROWS, answers, strict=True):
        (output,) = answer["outputs"]
        assert (output["name"], output["datatype"], output["shape"]) == ("y", "FP32", [1, 2])
        assert output["data"] == expected("double", x=row[None])["y"].ravel().tolist()
        assert (answer["model_name"], answer["model_version"]) == ("double", "1.0.0")


@pytest.mark.parametrize("flags", [[], ["--binary-data"]], ids=" ".join)
def test_several_inputs_and_outputs_that_are_asked_for(server: Octet, tmp_path: Path, flags: list[str]) -> None:
    a, b = np.array([[1, 2.5, 3]], np.float32), np.array([[3, 2, 1]])
    inputs = [
        {"name": "a", "datatype": "FP32", "shape": [1, 3], "data": a.ravel().tolist()},
        {"name": "b", "datatype": "INT64", "shape": [1, 3], "data": b.ravel().tolist()},
    ]
    request = {"id": "mine", "inputs": inputs, "outputs": [{"name": "less"}, {"name": "sum"}]}
    (answer,) = infer(server, tmp_path, "pair", [request], *flags)
    assert answer["id"] == "mine"
    given = {output["name"]: output["data"] for output in answer["outputs"]}
    assert given == {name: array.ravel().tolist() for name, array in expected("pair", a=a, b=b).items()}


def test_text(server: Octet, tmp_path: Path) -> None:
    (answer,) = infer(server, tmp_path, "words", [one_input("x", "BYTES", [2], ["Straße", "a"])], "--binary-data")
    (output,) = answer["outputs"]
    assert output["datatype"] == "BYTES"
    assert output["data"] == ["Straße", "a"]


@pytest.mark.parametrize(
    ("model", "text"), [("dooble", "no model 'dooble'"), ("pair", "'x'")], ids=["unknown model", "unknown input"]
)
def test_why_a_request_is_refused_is_in_its_answer(server: Octet, tmp_path: Path, model: str, text: str) -> None:
    (answer,) = infer(server, tmp_path, model, [one_input("x", "FP32", [1, 2], [1, 2])])
    assert text in answer["error"]["msg"]
