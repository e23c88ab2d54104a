"""The status and metadata documents, as TensorFlow Serving's clients read them."""

import json
from typing import Any

import pytest
from semver import Version

from app.errors import LabelNotFound, ModelNotFound
from app.protocols.tfserving_status import metadata, status
from app.serving.cost import LOOP_BOUND_SECONDS
from app.serving.lifecycle import State
from app.serving.servable import Servable
from app.serving.table import ServedModel, VersionStatus
from engines.signature import NUMPY_DTYPES, Signature, TensorSpec
from tests.app.conftest import DOUBLING, MakeServable

STATUSES = (
    VersionStatus("4.0.0", State.START),
    VersionStatus("3.0.0", State.LOADING),
    VersionStatus("2.0.0", State.END, "too large", failed=True),
    VersionStatus("1.2.0", State.AVAILABLE, "served unbatched"),
    VersionStatus("1.0.0", State.AVAILABLE),
)


@pytest.fixture
async def model(make_servable: MakeServable) -> ServedModel:
    old = make_servable("Digits", "1.0.0", batched=False)
    new = make_servable("Digits", "1.2.0", notes=("served unbatched",), instances=2)
    new.cost.observe((2,), 1, LOOP_BOUND_SECONDS / 2)
    new.cost.observe((2,), 8, LOOP_BOUND_SECONDS * 2)
    versions = {Version(1, 0, 0): old, Version(1, 2, 0): new}
    return ServedModel("Digits", versions, {"stable": old, "canary": new, "best": new}, STATUSES)


def told(model: ServedModel, version: str | None = None, label: str | None = None) -> list[dict[str, Any]]:
    document = json.loads(json.dumps(status(model, version, label)))
    assert (document["name"], document["ready"]) == ("Digits", True)
    found: list[dict[str, Any]] = document["model_version_status"]
    return found


async def test_every_version_is_told_newest_first(model: ServedModel) -> None:
    found = told(model)
    assert [(v["version"], v["semver"], v["state"], v["labels"]) for v in found] == [
        ("4", "4.0.0", "START", []),
        ("3", "3.0.0", "LOADING", []),
        ("2", "2.0.0", "END", []),
        ("1", "1.2.0", "AVAILABLE", ["best", "canary"]),
        ("1", "1.0.0", "AVAILABLE", ["stable"]),
    ]
    ok = {"error_code": "OK", "error_message": ""}
    assert [v["status"] for v in found] == [ok, ok, {"error_code": "INTERNAL", "error_message": "too large"}, ok, ok]


async def test_what_serves_tells_how(model: ServedModel) -> None:
    *_, new, old = told(model)
    assert (
        new.items()
        >= {
            "variant": "fp32",
            "instances": 2,
            "threads": 1,
            "batched": True,
            "max_batch_rows": 8,
            "batch_milliseconds": {"1": 0.25, "8": 1.0},
            "runs_on_loop_up_to_rows": 1,
            "notes": "served unbatched",
        }.items()
    )
    assert new["engine"].startswith("onnxruntime ")
    assert (old["batched"], old["max_batch_rows"], old["runs_on_loop_up_to_rows"]) == (False, 1, 0)
    assert "variant" not in told(model)[0]


@pytest.mark.parametrize(
    ("version", "label", "found"),
    [
        ("1", None, "1.2.0"),
        ("1.0", None, "1.0.0"),
        (None, "stable", "1.0.0"),
        ("0", None, "1.2.0"),
        ("3.0.0", None, "3.0.0"),
        ("3", None, "3.0.0"),
        ("2.0.0", None, "2.0.0"),
        ("2", None, "2.0.0"),
    ],
)
async def test_one_version_is_told_loaded_or_not(
    model: ServedModel, version: str | None, label: str | None, found: str
) -> None:
    assert [v["semver"] for v in told(model, version, label)] == [found]


async def test_what_is_unknown_has_no_status(model: ServedModel) -> None:
    with pytest.raises(ModelNotFound):
        status(model, "9", None)
    with pytest.raises(LabelNotFound):
        status(model, None, "nightly")


async def test_metadata_is_that_of_a_saved_model(make_servable: MakeServable) -> None:
    servable = make_servable("Digits", "1.2.0", metadata={"tags": ["tiny"]})
    info = {"dtype": "DT_FLOAT", "tensor_shape": {"dim": dims(-1, 2), "unknown_rank": False}}
    assert json.loads(json.dumps(metadata(servable))) == {
        "model_spec": {"name": "Digits", "signature_name": "", "version": "1", "semver": "1.2.0", "variant": "fp32"},
        "metadata": {
            "signature_def": {
                "signature_def": {
                    "serving_default": {
                        "inputs": {"x": info | {"name": "x"}},
                        "outputs": {"y": info | {"name": "y"}},
                        "method_name": "tensorflow/serving/predict",
                        "defaults": {},
                    }
                }
            },
            "octet": {"tags": ["tiny"]},
        },
    }
    assert servable.signature == DOUBLING


def dims(*sizes: int) -> list[dict[str, str]]:
    return [{"size": str(size), "name": ""} for size in sizes]


def inputs_of(servable: Servable) -> Any:
    return metadata(servable)["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]


async def test_every_dtype_and_shape_has_its_name(make_servable: MakeServable) -> None:
    servable = make_servable()
    specs = [TensorSpec(dtype, dtype, ()) for dtype in NUMPY_DTYPES]
    servable.signature = Signature((*specs, TensorSpec("any", "int8", None)), (), None)
    found = inputs_of(servable)
    assert found["string"] == {
        "dtype": "DT_STRING",
        "tensor_shape": {"dim": [], "unknown_rank": False},
        "name": "string",
    }
    assert found["any"]["tensor_shape"] == {"dim": [], "unknown_rank": True}
    names = {info["dtype"] for info in found.values()}
    assert len(names) == len(NUMPY_DTYPES)
    assert {"DT_FLOAT", "DT_DOUBLE", "DT_HALF", "DT_BFLOAT16", "DT_UINT64", "DT_BOOL"} <= names
