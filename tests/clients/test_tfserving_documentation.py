"""The curl lines of TensorFlow Serving's documentation, word for word but for the port.

Source: tensorflow_serving/g3doc/api_rest.md and docker.md. The models stand in for its half_plus_two and
half_plus_three.
"""

import json
import shlex
import subprocess
from typing import Any

import pytest

from tests.service.process import Octet
from tests.service.wire import PATIENCE_SECONDS


def curl(server: Octet, line: str) -> tuple[int, Any]:
    """Run the line against the server: status and JSON of the answer."""
    words = shlex.split(line.replace("localhost:8501", f"127.0.0.1:{server.port}"))
    done = subprocess.run(
        [*words, "--silent", "--show-error", "--write-out", "\n%{http_code} %{content_type}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    body, _, told = done.stdout.rpartition("\n")
    status, content_type = told.split(" ", 1)
    assert content_type == "application/json"
    return int(status), json.loads(body)


@pytest.mark.parametrize(("line", "wanted"), [
    (
        """curl -d '{"instances": [1.0,2.0,5.0]}' -X POST http://localhost:8501/v1/models/half_plus_three:predict""",
        {"predictions": [3.5, 4.0, 5.5]},
    ),
    (
        """curl -d '{"instances": [1.0, 2.0, 5.0]}' -X POST http://localhost:8501/v1/models/half_plus_two:predict""",
        {"predictions": [2.5, 3.0, 4.5]},
    ),
    (
        """curl -d '{"signature_name": "serving_default", "instances": [{"x": 1.0}, {"x": 2.0}]}'
        -X POST http://localhost:8501/v1/models/half_plus_three/versions/123:predict""",
        {"predictions": [3.5, 4.0]},
    ),
    (
        """curl -d '{"inputs": [1.0, 2.0]}' -X POST http://localhost:8501/v1/models/half_plus_three:predict""",
        {"outputs": [3.5, 4.0]},
    ),
    (
        """curl -d '{"inputs": {"x": [NaN, Infinity]}}' -X POST
        http://localhost:8501/v1/models/half_plus_three/labels/stable:predict""",
        {"outputs": [pytest.approx(float("nan"), nan_ok=True), float("inf")]},
    ),
])  # fmt: skip
def test_predict(server: Octet, line: str, wanted: object) -> None:
    assert curl(server, line) == (200, wanted)


@pytest.mark.parametrize("version", ["", "/versions/123", "/labels/stable"])
def test_status(server: Octet, version: str) -> None:
    code, document = curl(server, f"curl http://localhost:8501/v1/models/half_plus_three{version}")
    assert code == 200
    (status,) = document["model_version_status"]
    wanted = {"version": "123", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert {key: status[key] for key in wanted} == wanted


def test_metadata(server: Octet) -> None:
    code, document = curl(server, "curl http://localhost:8501/v1/models/half_plus_three/metadata")
    assert code == 200
    assert document["model_spec"].items() >= {"name": "half_plus_three", "signature_name": "", "version": "123"}.items()
    tensor = {"dtype": "DT_FLOAT", "name": "x", "tensor_shape": {
        "dim": [{"size": "-1", "name": ""}], "unknown_rank": False,
    }}  # fmt: skip
    assert document["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"] == {"x": tensor}


@pytest.mark.parametrize(("line", "status", "text"), [
    (
        """curl -d '{"instances": [1.0,5.0]}' -X POST http://localhost:8501/v1/models/half:predict""",
        404,
        "half",
    ),
    (
        """curl -d '{"signature_name": "tensorflow/serving/regress", "examples": [{"x": 1.0}, {"x": 2.0}]}'
        -X POST http://localhost:8501/v1/models/half_plus_three:regress""",
        501,
        "regress",
    ),
    (
        """curl -d '{"examples": [{"x": 1.0}]}' -X POST http://localhost:8501/v1/models/half_plus_three:classify""",
        501,
        "classify",
    ),
    ("curl http://localhost:8501/v1/models/half_plus_three:predict", 400, "Malformed request: GET"),
    ("curl -X POST -d '' http://localhost:8501/v1/models/half_plus_three/metadata", 400, "Malformed request: POST"),
    ("curl http://localhost:8501/v1/models/half_plus_three/versions/HELLO", 400, "HELLO"),
    (
        """curl -d '{"instances": [1.0]}' -X POST
        http://localhost:8501/v1/models/half_plus_three/labels/gold:predict""",
        400,
        "gold",
    ),
])  # fmt: skip
def test_errors(server: Octet, line: str, status: int, text: str) -> None:
    code, document = curl(server, line)
    assert code == status
    assert document.keys() == {"error"}
    assert text in document["error"]
