"""What is served, as its pages tell it: lists, states, metadata, in every way to name a version."""

from collections.abc import Iterator

import pytest

from model_store.manifest import Metadata
from tests import graphs
from tests.service.conftest import store_at
from tests.service.process import Octet

METADATA = Metadata(
    training_data_version="digits-7",
    hyperparameters={"epochs": 3, "layers": [64, 10]},
    metrics={"accuracy": 0.985},
    tags={"team": "vision"},
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Octet]:
    """Three releases and a pre-release of `Digits`, and one of `a.b-c`; 1.0.0 is `stable`, 1.10.0 `canary`."""
    folder = tmp_path_factory.mktemp("pages")
    with store_at(folder / "store") as publish:
        for bias, version in enumerate(("1.0.0", "1.2.0", "1.10.0", "2.0.0-rc.1")):
            labels = {"1.0.0": ("stable",), "1.10.0": ("canary", "next")}.get(version, ())
            publish("Digits", version, graphs.adding(bias), *labels, metadata=METADATA)
        publish("a.b-c", "7.0.0", graphs.operator("Neg", shape=()))
    with Octet(folder, folder / "store") as server:
        yield server


def test_the_list_of_models(server: Octet) -> None:
    assert server.get("/v1/models").json() == {"models": ["Digits", "a.b-c"]}


def test_the_state_of_a_model_is_tensorflow_servings_and_kserves_at_once(server: Octet) -> None:
    document = server.get("/v1/models/digits").json()
    assert list(document) == ["model_version_status", "name", "ready"]
    assert (document["name"], document["ready"]) == ("Digits", True)
    of_versions = document["model_version_status"]
    shown = [(one["version"], one["semver"], one["state"], one["labels"]) for one in of_versions]
    assert shown == [
        ("2", "2.0.0-rc.1", "AVAILABLE", []),
        ("1", "1.10.0", "AVAILABLE", ["canary", "next"]),
        ("1", "1.2.0", "AVAILABLE", []),
        ("1", "1.0.0", "AVAILABLE", ["stable"]),
    ]
    for one in of_versions:
        assert one["status"] == {"error_code": "OK", "error_message": ""}
        assert one["engine"].startswith("onnxruntime ")
        assert (one["variant"], one["instances"], one["threads"], one["batched"]) == ("fp32", 1, 1, True)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("", "1.10.0"),
        ("/versions/1.2.0", "1.2.0"),
        ("/versions/1", "1.10.0"),
        ("/versions/1.2", "1.2.0"),
        ("/versions/2.0.0-rc.1", "2.0.0-rc.1"),
        ("/labels/stable", "1.0.0"),
        ("/labels/canary", "1.10.0"),
    ],
)
def test_every_way_to_name_a_version_means_the_same_everywhere(server: Octet, selector: str, expected: str) -> None:
    answer = server.predict(f"DIGITS{selector}", {"instances": [[0, 0]]})
    assert answer.headers["octet-model-version"] == expected
    assert (answer.headers["octet-variant"], answer.headers["octet-engine"][:12]) == ("fp32", "onnxruntime ")
    metadata = server.get(f"/v1/models/digits{selector}/metadata").json()
    assert metadata["model_spec"] == {
        "name": "Digits",
        "signature_name": "",
        "version": expected[0],
        "semver": expected,
        "variant": "fp32",
    }
    if selector:
        states = server.get(f"/v1/models/digits{selector}").json()["model_version_status"]
        assert [one["semver"] for one in states] == [expected]


def test_metadata_is_the_signature_and_what_was_published(server: Octet) -> None:
    document = server.get("/v1/models/Digits/versions/1.0.0/metadata").json()

    def described(name: str) -> dict[str, object]:
        dims = [{"size": "-1", "name": ""}, {"size": "2", "name": ""}]
        return {"dtype": "DT_FLOAT", "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": name}

    assert document == {
        "model_spec": {"name": "Digits", "signature_name": "", "version": "1", "semver": "1.0.0", "variant": "fp32"},
        "metadata": {
            "signature_def": {
                "signature_def": {
                    "serving_default": {
                        "inputs": {"x": described("x")},
                        "outputs": {"y": described("y")},
                        "method_name": "tensorflow/serving/predict",
                        "defaults": {},
                    }
                }
            },
            "octet": METADATA.model_dump(),
        },
    }


def test_a_tensor_of_rank_0_has_no_dimensions(server: Octet) -> None:
    document = server.get("/v1/models/a.b-c/metadata").json()
    inputs = document["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]
    assert inputs["x"]["tensor_shape"] == {"dim": [], "unknown_rank": False}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/models/nobody", 404),
        ("/v1/models/nobody/metadata", 404),
        ("/v1/models/digits/versions/9", 404),
        ("/v1/models/digits/versions/2", 404),
        ("/v1/models/digits/versions/1.0.0/metadata/more", 400),
        ("/v1/models/digits/labels/nobody", 400),
        ("/v1/models/digits/labels/nobody/metadata", 400),
        ("/v1/models/digits/versions/1/labels/stable", 400),
        ("/v1/models/digits:predict", 400),
        ("/v1/nothing", 400),
        ("/nothing", 404),
    ],
)
def test_what_is_not_there_is_refused_in_one_shape(server: Octet, path: str, status: int) -> None:
    answer = server.get(path)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]


def test_the_paths_are_documented(server: Octet) -> None:
    paths = server.get("/openapi.json").json()["paths"]
    assert {"/v1/models/{model}:predict", "/v1/models/{model}/labels/{label}", "/v1/store:refresh"} <= set(paths)
    assert server.get("/docs").status_code == 200
