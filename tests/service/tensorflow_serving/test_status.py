"""TensorFlow Serving's status and metadata, KServe V1's fields beside the status; and what no model here can do."""

import pytest

from engines.signature import NUMPY_DTYPES
from tests.service.process import Octet
from tests.service.tensorflow_serving.conftest import MODELS, Ask

DTYPES = {
    "float32": "DT_FLOAT", "float64": "DT_DOUBLE", "float16": "DT_HALF", "bfloat16": "DT_BFLOAT16",
    "int8": "DT_INT8", "int16": "DT_INT16", "int32": "DT_INT32", "int64": "DT_INT64",
    "uint8": "DT_UINT8", "uint16": "DT_UINT16", "uint32": "DT_UINT32", "uint64": "DT_UINT64",
    "bool": "DT_BOOL", "string": "DT_STRING",
}  # fmt: skip
OK = {"error_code": "OK", "error_message": ""}


# --- status


def test_the_status_has_every_version_the_newest_first(server: Octet) -> None:
    document = server.get("/v1/models/versioned").json()
    assert list(document) == ["model_version_status", "name", "ready"]
    assert [(one["version"], one["semver"]) for one in document["model_version_status"]] == [
        ("3", "3.0.0-rc.1"),
        ("2", "2.0.0"),
        ("1", "1.10.0"),
        ("1", "1.2.0"),
        ("1", "1.0.0"),
    ]
    for status in document["model_version_status"]:
        assert status.items() >= {"state": "AVAILABLE", "status": OK}.items()


@pytest.mark.parametrize(
    ("selector", "semver"), [("versions/2", "2.0.0"), ("versions/1", "1.10.0"), ("labels/stable", "1.0.0")]
)
def test_the_status_of_one_version_is_its_own(server: Octet, selector: str, semver: str) -> None:
    (status,) = server.get(f"/v1/models/versioned/{selector}").json()["model_version_status"]
    assert (status["version"], status["semver"]) == (semver[0], semver)


def test_the_status_of_what_is_unknown_is_404_and_of_a_label_400(ask: Ask) -> None:
    for page in ("", "/metadata"):
        assert ask("GET", f"/v1/models/nobody{page}").status == 404
        assert ask("GET", f"/v1/models/versioned/versions/9{page}").status == 404
        assert ask("GET", f"/v1/models/nobody/labels/stable{page}").status == 404
        answer = ask("GET", f"/v1/models/versioned/labels/nobody{page}")
        assert (answer.status, answer.error) == (
            400,
            "unrecognized version label 'nobody' of model 'versioned': it has canary, stable",
        )


def test_a_version_that_failed_has_ended_and_says_why(server: Octet) -> None:
    for path in ("/v1/models/broken/versions/1.0.0", "/v1/models/broken/versions/1"):
        answer = server.get(path)
        (status,) = answer.json()["model_version_status"]
        assert (answer.status_code, status["version"], status["state"]) == (200, "1", "END")
        assert status["status"]["error_code"] == "INTERNAL"
        assert "ONNX Runtime cannot load the model" in status["status"]["error_message"]


# --- metadata


@pytest.mark.parametrize("selector", ["", "/versions/2", "/labels/canary", "/versions/0"])
def test_metadata_is_a_saved_models(server: Octet, selector: str) -> None:
    document = server.get(f"/v1/models/versioned{selector}/metadata").json()
    assert document.pop("model_spec") == {
        "name": "versioned",
        "signature_name": "",
        "version": "2",
        "semver": "2.0.0",
        "variant": "fp32",
    }
    assert document["metadata"].pop("octet").keys() == {
        "training_data_version", "hyperparameters", "metrics", "tags",
    }  # fmt: skip
    shape = {"dim": [{"size": "-1", "name": ""}, {"size": "2", "name": ""}], "unknown_rank": False}
    assert document == {"metadata": {"signature_def": {"signature_def": {"serving_default": {
        "inputs": {"x": {"dtype": "DT_FLOAT", "tensor_shape": shape, "name": "x"}},
        "outputs": {"y": {"dtype": "DT_FLOAT", "tensor_shape": shape, "name": "y"}},
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }}}}}  # fmt: skip


def inputs_of(server: Octet, model: str) -> dict[str, dict[str, object]]:
    document = server.get(f"/v1/models/{model}/metadata").json()
    inputs: dict[str, dict[str, object]] = document["metadata"]["signature_def"]["signature_def"]["serving_default"][
        "inputs"
    ]
    return inputs


@pytest.mark.parametrize("dtype", NUMPY_DTYPES)
def test_every_dtype_has_its_name(server: Octet, dtype: str) -> None:
    assert inputs_of(server, dtype)["x"]["dtype"] == DTYPES[dtype]


def test_a_tensor_of_rank_0_has_no_dimensions(server: Octet) -> None:
    assert inputs_of(server, "scalar")["x"]["tensor_shape"] == {"dim": [], "unknown_rank": False}


# --- KServe V1


def test_kserve_asks_whether_the_server_is_alive(server: Octet) -> None:
    assert server.get("/").json() == {"status": "alive"}


def test_kserve_asks_for_the_names_of_the_models(server: Octet) -> None:
    assert server.get("/v1/models").json() == {"models": sorted([*MODELS, "versioned", "early", "broken"])}


def test_kserve_asks_whether_a_model_is_ready(server: Octet, ask: Ask) -> None:
    ready = server.get("/v1/models/versioned")
    assert (ready.status_code, ready.json()["name"], ready.json()["ready"]) == (200, "versioned", True)
    not_ready = server.get("/v1/models/broken")
    assert (not_ready.status_code, not_ready.json()["name"], not_ready.json()["ready"]) == (503, "broken", False)
    assert not_ready.json()["model_version_status"], "the body is the same"
    assert ask("GET", "/v1/models/nobody").status == 404


def test_kserves_clients_read_errors_of_exactly_this_content_type(ask: Ask) -> None:
    for method, path in (
        ("GET", "/v1/models/nobody"),
        ("GET", "/v1/models/versioned:predict"),
        ("GET", "/v1/models/versioned/labels/nobody"),
        ("POST", "/v1/models/nobody:predict"),
        ("POST", "/v1/models/versioned:predict"),
        ("POST", "/v1/models/broken:predict"),
        ("POST", "/v1/models/versioned:explain"),
        ("GET", "/nowhere"),
        ("DELETE", "/"),
    ):
        answer = ask(method, path)
        assert answer.status >= 400
        assert answer.headers["content-type"] == "application/json"
        assert answer.error


# --- what no ONNX model has


@pytest.mark.parametrize("selector", ["", "/versions/2", "/labels/canary"])
@pytest.mark.parametrize("verb", ["classify", "regress"])
def test_classify_and_regress_say_why_not(ask: Ask, verb: str, selector: str) -> None:
    body = {"examples": [{"x": 1.0}]}
    answer = ask("POST", f"/v1/models/versioned{selector}:{verb}", body)
    assert answer.status == 501
    assert answer.error == (
        "model 'versioned' can neither classify nor regress: that takes a signature over tf.Example, and an ONNX "
        "model's is over tensors; POST them to /v1/models/versioned:predict"
    )
    assert ask("POST", f"/V1/MODELS/nobody{selector}:{verb.upper()}", body).status == 404
    assert ask("POST", f"/v1/models/versioned/versions/9:{verb}", body).status == 404
    assert ask("POST", f"/v1/models/versioned/labels/nobody:{verb}", body).status == 400


def test_explain_says_why_not(ask: Ask) -> None:
    answer = ask("POST", "/v1/models/versioned:explain", {"instances": [[1, 2]]})
    assert (answer.status, "has no explainer" in answer.error) == (501, True)
    assert ask("POST", "/v1/models/nobody:explain", {"instances": [[1, 2]]}).status == 404
    assert ask("POST", "/v1/models/versioned/versions/2:explain").status == 400
