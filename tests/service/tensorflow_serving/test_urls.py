"""TensorFlow Serving's URLs: two patterns, in any case, over the whole path as it was sent; all else is malformed."""

import pytest

from tests.service.tensorflow_serving.conftest import Ask

ROWS = {"instances": [[1, 2]]}
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/versioned:predict",
        "/v1/models/versioned/versions/2:predict",
        "/v1/models/versioned/labels/canary:predict",
        "/V1/MODELS/VERSIONED/LABELS/canary:PREDICT",
        "/v1/models/versione%64:predict",
        "/v1/models/versioned/labels/c%61nary:predict",
        "/v1/models/versioned:predict?a=/b:c",
        "/v1/models/versioned:predict?",
    ],
)
def test_post_predicts(ask: Ask, path: str) -> None:
    answer = ask("POST", path, ROWS)
    assert (answer.status, answer.body) == (200, b'{"predictions":[[301.0,302.0]]}')


@pytest.mark.parametrize("page", ["", "/metadata"])
@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/v1/models/versioned/versions/2", "2.0.0"),
        ("/v1/models/versioned/labels/canary", "2.0.0"),
        ("/v1/models/VERSIONED/Labels/canary", "2.0.0"),
        ("/V1/Models/v%65rsioned/Versions/1", "1.10.0"),
        ("/v1/models/versioned/labels/st%61ble", "1.0.0"),
    ],
)
def test_get_tells_of_a_version(ask: Ask, path: str, page: str, version: str) -> None:
    for query in ("", "?", "?a=/b:c"):
        answer = ask("GET", path + page + query)
        assert answer.status == 200
        assert f'"semver":"{version}"' in answer.body.decode()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *((method, "/v1/models/versioned:predict") for method in METHODS if method != "POST"),
        *((method, "/v1/models/versioned:classify") for method in METHODS if method != "POST"),
        *((method, "/v1/models/versioned") for method in METHODS if method != "GET"),
        *((method, "/v1/models/versioned/metadata") for method in METHODS if method != "GET"),
        *((method, "/v1/models") for method in METHODS if method != "GET"),
        *((method, "/v1/nothing") for method in METHODS),
        *((method, "/v1/") for method in METHODS),
        ("GET", "/v1/models/"),
        ("GET", "/v1/models/versioned/"),
        ("GET", "/v1/models/versioned/metadata/"),
        ("GET", "/v1/models/versioned/metadata/more"),
        ("GET", "/v1/models/versioned/labels"),
        ("GET", "/v1/models/versioned/versions/"),
        ("GET", "/v1/models/versioned/versions/HELLO"),
        ("GET", "/v1/models/versioned/versions/HELLO/metadata"),
        ("GET", "/v1/models/versioned/versions/-1"),
        ("GET", "/v1/models/versioned/versions/1/labels/stable"),
        ("GET", "/v1/models/versioned/labels/stable/versions/1"),
        ("GET", "/v1/models/versioned:guess"),
        ("GET", "/V1/models//metadata"),
        ("POST", "/v1/models/versioned:predict/"),
        ("POST", "/v1/models/versioned:predict:predict"),
        ("POST", "/v1/models/versioned:guess"),
        ("POST", "/v1/models/:predict"),
        ("POST", "/v1/models/versioned%3Apredict"),
        ("POST", "/v1/models/versioned/:predict"),
        ("POST", "/v1/models/versioned/versions/HELLO:predict"),
        ("POST", "/v1/models/versioned/versions/1%2E0:predict"),
        ("POST", "/v1/models/versioned/versions/1/labels/stable:predict"),
        ("POST", "/v1/models/versioned/versions/HELLO:regress"),
        ("POST", "/V1/Models"),
    ],
)
def test_anything_else_is_a_malformed_request(ask: Ask, method: str, path: str) -> None:
    answer = ask(method, f"{path}?query")
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/json"
    if method != "HEAD":
        assert answer.error == f"Malformed request: {method} {path}"


def test_what_is_not_below_v1_is_nobodys(ask: Ask) -> None:
    for path in ("/v1", "/v10/models", "/models/versioned:predict", "//v1/models/versioned"):
        assert ask("GET", path).status == 404
        assert ask("POST", path, ROWS).status == 404


@pytest.mark.parametrize("digits", [2**63, 10**30, f"{2**63}.1"])
def test_a_version_must_fit_64_bits(ask: Ask, digits: object) -> None:
    path = f"/v1/models/versioned/versions/{digits}"
    for answer in (ask("GET", path), ask("GET", f"{path}/metadata"), ask("POST", f"{path}:predict", ROWS)):
        assert answer.status == 400
        assert answer.error.startswith(f"Failed to convert version: {digits} ")
    assert ask("GET", f"/v1/models/versioned/versions/{2**63 - 1}").status == 404


@pytest.mark.parametrize(
    ("version", "meant"),
    [("1", 200), ("01", 200), ("1.2", 120), ("1.2.0", 120), ("2", 300), ("3.0.0-rc.1", 400)],
)
def test_a_version_is_a_major_or_more_of_its_number(ask: Ask, version: str, meant: float) -> None:
    answer = ask("POST", f"/v1/models/versioned/versions/{version}:predict", ROWS)
    assert answer.json() == {"predictions": [[meant + 1, meant + 2]]}


def test_without_a_version_the_highest_release_answers(ask: Ask) -> None:
    assert ask("POST", "/v1/models/versioned:predict", ROWS).headers["octet-model-version"] == "2.0.0"


def test_version_0_is_the_default_where_there_is_none_of_that_number(ask: Ask) -> None:
    for model, version in (("versioned", "2.0.0"), ("early", "0.1.0")):
        path = f"/v1/models/{model}/versions/0"
        assert ask("POST", f"{path}:predict", ROWS).headers["octet-model-version"] == version
        assert [one["semver"] for one in ask("GET", path).json()["model_version_status"]] == [version]
        assert ask("GET", f"{path}/metadata").json()["model_spec"]["semver"] == version
    assert ask("GET", "/v1/models/versioned/versions/0.1").status == 404


def test_the_colon_and_the_slash_of_a_name_are_percent_encoded(ask: Ask) -> None:
    for name in ("a%3Apredict", "a%2Fb", "a%2Fversions%2F1"):
        assert ask("GET", f"/v1/models/{name}").status == 404
        assert ask("POST", f"/v1/models/{name}:predict", ROWS).status == 404
