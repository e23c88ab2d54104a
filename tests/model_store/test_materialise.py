"""Files for an engine: verified, side by side, under the names that the model knows them by."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from model_store.errors import Corrupt, NotFound
from model_store.manifest import Metadata
from model_store.records import NewVersion
from model_store.store import Store
from tests.graphs import linear
from tests.model_store.conftest import MakeVersion


def damage(path: Path) -> None:
    """Flip one bit, as a dying disk does."""
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.unlink()
    path.write_bytes(data)


def test_a_model_with_external_data_runs_from_its_view(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "mine.onnx"
    onnx.save(linear(np.eye(4)), source, save_as_external_data=True, location="weights.bin", size_threshold=0)
    external = {"weights.bin": tmp_path / "weights.bin"}
    record = store.publish(NewVersion("digits", "1.0.0", source, external, {}, Metadata())).record
    path = store.materialise(record, "fp32")
    assert sorted(file.name for file in path.parent.iterdir()) == ["model.onnx", "weights.bin"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    np.testing.assert_array_equal(session.run(None, {"x": rows})[0], rows)


def test_a_view_is_made_once_and_takes_no_space(store: Store, root: Path, new_version: MakeVersion) -> None:
    record = store.publish(new_version(external={"deep/w": b"w"})).record
    path = store.materialise(record, "fp32")
    assert store.materialise(record, "fp32") == path
    assert path.samefile(root / "blobs" / "sha256" / record.variants[0].files[0].digest)
    assert (path.parent / "deep" / "w").read_bytes() == b"w"


@pytest.mark.parametrize("index", [0, 1])
def test_a_damaged_blob_is_never_handed_out_and_publishing_again_mends_it(
    store: Store, root: Path, new_version: MakeVersion, index: int
) -> None:
    record = store.publish(new_version(external={"w": b"weights"})).record
    store.materialise(record, "fp32")
    digest = record.variants[0].files[index].digest
    damage(root / "blobs" / "sha256" / digest)
    with pytest.raises(Corrupt, match=f"blob {digest} is damaged"):
        store.materialise(record, "fp32")
    assert not store.publish(new_version(external={"w": b"weights"})).created
    path = store.materialise(record, "fp32")
    assert (path.read_bytes(), (path.parent / "w").read_bytes()) == (b"a model", b"weights")


def test_a_missing_blob_is_named(store: Store, root: Path, new_version: MakeVersion) -> None:
    record = store.publish(new_version()).record
    (root / "blobs" / "sha256" / record.digest).unlink()
    with pytest.raises(Corrupt, match=f"blob {record.digest} is missing"):
        store.materialise(record, "fp32")


def test_a_damaged_view_is_made_again(store: Store, new_version: MakeVersion) -> None:
    record = store.publish(new_version(external={"w": b"w"})).record
    path = store.materialise(record, "fp32")
    damage(path)
    (path.parent / "w").unlink()
    assert store.materialise(record, "fp32").read_bytes() == b"a model"
    assert (path.parent / "w").read_bytes() == b"w"


def test_where_links_are_not_to_be_had_copies_serve(
    store: Store, new_version: MakeVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    record = store.publish(new_version()).record
    path = store.materialise(record, "fp32")
    inode = path.stat().st_ino
    assert store.materialise(record, "fp32").stat().st_ino == inode
    assert path.read_bytes() == b"a model"
    damage(path)
    assert store.materialise(record, "fp32").read_bytes() == b"a model"


def test_an_unknown_variant_is_told_with_the_known(store: Store, new_version: MakeVersion) -> None:
    record = store.publish(new_version()).record
    with pytest.raises(NotFound, match="its variants are: fp32"):
        store.materialise(record, "int8")
