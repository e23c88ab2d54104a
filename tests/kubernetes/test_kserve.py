"""The runtime for KServe and the InferenceService that uses it, and what both do with a folder of models."""

import os
import subprocess
from copy import deepcopy
from pathlib import Path

import pytest

from tests.kubernetes.kustomizations import KUBERNETES, ROOT, read
from tests.kubernetes.pods import Object, serving
from tests.kubernetes.rules import faults
from tests.service.process import OCTET, Octet

(RUNTIME,) = read(KUBERNETES / "kserve" / "runtime.yaml")
(SERVICE,) = read(KUBERNETES / "kserve" / "digits.yaml")
MODEL = SERVICE["spec"]["predictor"]["model"]
IMAGE = [[0.0] * 8] * 8


def deployment() -> Object:
    """What KServe makes of both, by its rules: the runtime's container with what the service says of it."""
    spec = deepcopy(RUNTIME["spec"])
    of_pod = {key: value for key, value in SERVICE["spec"]["predictor"].items() if key != "model"}
    (container,) = spec["containers"]
    container["lifecycle"] = MODEL["lifecycle"]
    pod = {"containers": [container], "volumes": spec["volumes"]} | of_pod
    return {
        "kind": "Deployment",
        "metadata": {"name": "digits-predictor"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {}},
            "template": {"metadata": {"labels": {}}, "spec": pod},
        },
    }


def publish(models: Path, store: Path) -> subprocess.CompletedProcess[str]:
    """The lines of the container's script before the last, which serves; its paths are those of this machine."""
    *publishing, last = serving(deployment())["args"][0].splitlines()
    assert last == "exec octet serve"
    script = "\n".join(publishing).replace("{{.Name}}", SERVICE["metadata"]["name"]).replace("/mnt/models", str(models))
    assert serving(deployment())["command"] == ["sh", "-ec"]
    kept = {key: text for key, text in os.environ.items() if not key.startswith("OCTET_")}
    there = kept | {"PATH": f"{Path(OCTET).parent}:{kept['PATH']}", "OCTET_STORE": str(store)}
    return subprocess.run(["sh", "-ec", script], env=there, capture_output=True, text=True, check=False, timeout=60)


def test_the_objects_fit_each_other() -> None:
    assert faults([deployment()]) == []
    assert MODEL["runtime"] == RUNTIME["metadata"]["name"]
    assert MODEL["modelFormat"] in RUNTIME["spec"]["supportedModelFormats"]
    assert MODEL["protocolVersion"] in RUNTIME["spec"]["protocolVersions"] == ["v1", "v2"]


def test_the_container_is_one_that_kserve_and_knative_take() -> None:
    (container,) = RUNTIME["spec"]["containers"]
    assert container["name"] == "kserve-container"
    assert [port["name"] for port in container["ports"]] == ["http1"]
    assert "lifecycle" not in container
    assert RUNTIME["spec"]["annotations"]["prometheus.kserve.io/port"] == str(container["ports"][0]["containerPort"])


def test_the_file_is_published_and_served_over_both_protocols(tmp_path: Path) -> None:
    models, store = tmp_path / "models", tmp_path / "store"
    models.mkdir()
    (models / "digits.onnx").symlink_to(ROOT / "examples" / "digits" / "digits.onnx")
    for _ in range(2):  # once more where the container alone starts anew
        done = publish(models, store)
        assert done.returncode == 0, done.stderr
    with Octet(tmp_path, store) as octet:
        assert octet.get(RUNTIME["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"]).status_code == 200
        assert octet.get(RUNTIME["spec"]["annotations"]["prometheus.kserve.io/path"]).status_code == 200
        assert octet.rows("digits", [[IMAGE]])
        image = {"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.0] * 64}
        answer = octet.client.post("/v2/models/digits/infer", json={"inputs": [image]})
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("names", [[], ["a.onnx", "b.onnx"]])
def test_a_folder_without_the_one_file_stops_it(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).symlink_to(ROOT / "examples" / "digits" / "digits.onnx")
    assert publish(tmp_path, tmp_path / "store").returncode != 0
