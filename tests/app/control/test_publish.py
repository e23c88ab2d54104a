"""From an ONNX file into a store, with real files."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from app.control.publish import publish, read_metadata
from engines.errors import ModelFileError
from model_store.errors import Conflict, Incompatible, InvalidMetadata, InvalidName, InvalidVersion
from model_store.manifest import Metadata
from model_store.store import Store
from tests import graphs

MakeModel = Callable[..., Path]


@pytest.fixture
def linear(tmp_path: Path) -> MakeModel:
    """Make an ONNX file `y = x @ w`: [N, inputs] -> [N, outputs]."""

    def make(inputs: int = 4, outputs: int = 2, *, scale: float = 1.0, external: bool = False, x: str = "x") -> Path:
        model = graphs.linear(np.full((inputs, outputs), scale), x)
        folder = tmp_path / f"{inputs}-{outputs}-{scale}-{external}-{x}"
        folder.mkdir(exist_ok=True)
        path = folder / "linear.onnx"
        if external:
            onnx.save(model, path, save_as_external_data=True, location="linear.bin", size_threshold=0)
        else:
            onnx.save(model, path)
        return path

    return make


def test_what_the_file_says_is_what_the_store_knows(store: Store, linear: MakeModel) -> None:
    metadata = Metadata(metrics={"accuracy": 0.5})
    published = publish(store, "linear", linear(), "1.0.0", metadata=metadata, labels=("stable",))
    assert published.created
    record = store.resolve("linear", label="stable")
    assert record == published.record
    assert record.metadata == metadata
    assert record.signature == {
        "inputs": [{"name": "x", "dtype": "float32", "shape": [-1, 4]}],
        "outputs": [{"name": "y", "dtype": "float32", "shape": [-1, 2]}],
        "batch_axis": 0,
    }
    assert [(variant.name, variant.engine) for variant in record.variants] == [("fp32", "onnxruntime")]


def test_external_data_comes_along_and_the_stored_model_runs(store: Store, linear: MakeModel) -> None:
    path = linear(external=True)
    record = publish(store, "linear", path, "1.0.0", metadata=Metadata()).record
    for file in path.parent.iterdir():
        file.unlink()
    session = onnxruntime.InferenceSession(store.materialise(record, "fp32"), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"x": np.ones((3, 4), np.float32)})[0], np.full((3, 2), 4.0))


@pytest.mark.parametrize("content", [b"", b"no ONNX", b"\x08\x0a" * 50])
def test_what_is_no_model_leaves_nothing(store: Store, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    before = sorted((tmp_path / "store").rglob("*"))
    with pytest.raises(ModelFileError):
        publish(store, "linear", path, "1.0.0", metadata=Metadata())
    assert sorted((tmp_path / "store").rglob("*")) == before


def test_bad_names_are_refused_before_the_file_is_read(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidName):
        publish(store, "../x", tmp_path / "missing.onnx", "1.0.0", metadata=Metadata())
    with pytest.raises(InvalidVersion):
        publish(store, "linear", tmp_path / "missing.onnx", "1.0", metadata=Metadata())


@pytest.mark.parametrize("version", ["1.0.1", "1.1.0", "1.1.0-rc.1"])
def test_a_minor_or_patch_that_breaks_clients_is_refused_with_every_difference(
    store: Store, linear: MakeModel, version: str
) -> None:
    publish(store, "linear", linear(), "1.0.0", metadata=Metadata())
    with pytest.raises(Incompatible) as caught:
        publish(store, "linear", linear(inputs=5, outputs=3), version, metadata=Metadata())
    text = str(caught.value)
    assert f"{version} would break the clients of linear@1.0.0" in text
    assert "input 'x' had shape [-1, 4] and has [-1, 5]" in text
    assert "output 'y' had shape [-1, 2] and has [-1, 3]" in text
    assert "Publish as 2.0.0, or insist with --force-incompatible." in text
    assert [record.version for record in store.versions("linear")] == ["1.0.0"]


def test_one_may_insist_and_then_publish_the_same_again(store: Store, linear: MakeModel) -> None:
    publish(store, "linear", linear(), "1.0.0", metadata=Metadata())
    broken = linear(x="z")
    assert publish(store, "linear", broken, "1.1.0", metadata=Metadata(), force_incompatible=True).created
    assert not publish(store, "linear", broken, "1.1.0", metadata=Metadata()).created


def test_only_the_release_before_it_of_the_same_major_counts(store: Store, linear: MakeModel) -> None:
    publish(store, "linear", linear(), "1.0.0", metadata=Metadata())
    publish(store, "linear", linear(inputs=5), "2.0.0", metadata=Metadata())
    publish(store, "linear", linear(scale=2), "1.0.1", metadata=Metadata())
    publish(store, "linear", linear(inputs=6), "3.0.0-rc.1", metadata=Metadata())
    publish(store, "linear", linear(inputs=7), "3.0.0", metadata=Metadata())
    store.retire("linear", "2.0.0")
    publish(store, "linear", linear(inputs=8), "2.0.1", metadata=Metadata())
    with pytest.raises(Incompatible, match=r"clients of linear@1\.0\.1"):
        publish(store, "linear", linear(inputs=5), "1.0.2", metadata=Metadata())


def test_the_same_version_with_another_file_is_refused(store: Store, linear: MakeModel) -> None:
    publish(store, "linear", linear(), "1.0.0", metadata=Metadata())
    with pytest.raises(Conflict):
        publish(store, "linear", linear(scale=2), "1.0.0", metadata=Metadata())


def test_metadata_is_read(tmp_path: Path) -> None:
    record = {
        "training_data_version": "2025-01",
        "hyperparameters": {"lr": 0.1, "layers": [1, 2], "note": None},
        "metrics": {"accuracy": 0.99, "rows": 3},
        "tags": {"team": "vision"},
    }
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps(record))
    assert read_metadata(path).model_dump() == record
    path.write_text('{"tags": ["a", "b"]}')
    assert read_metadata(path).tags == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"metric": {}}', "metadata has no key 'metric'; did you mean 'metrics'?"),
        ('{"xyz": 1}', "the keys are training_data_version, hyperparameters, metrics, tags"),
        ('{"metrics": {"accuracy": "high"}}', "metrics.accuracy: Input should be a valid number"),
        ('{"metrics": {"accuracy": NaN}}', "is not JSON: NaN is no number in JSON"),
        ('{"metrics": {"accuracy": 1e999}}', "metrics.accuracy: Input should be a finite number"),
        ("[]", "a JSON object was expected"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is nested too deep"),
        ('{"training_data_version": 5}', "training_data_version: Input should be a valid string"),
    ],
)
def test_metadata_that_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "metadata.json"
    path.write_text(text)
    with pytest.raises(InvalidMetadata) as caught:
        read_metadata(path)
    assert problem in str(caught.value)


def test_a_metadata_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidMetadata, match=r"cannot read .*: No such file"):
        read_metadata(tmp_path / "metadata.json")
