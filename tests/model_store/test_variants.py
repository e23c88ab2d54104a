"""Variants of a version: added, read back, refused, dropped."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_store.errors import Conflict, Corrupt, InvalidMetadata, InvalidName, NotFound, StorageFailed
from model_store.records import NewVariant, VersionRecord
from model_store.store import Store
from tests import graphs
from tests.model_store.conftest import MakeVariant, MakeVersion, files_under


@pytest.fixture
def record(store: Store, new_version: MakeVersion) -> VersionRecord:
    return store.publish(new_version()).record


def test_what_was_added_is_there_again_after_opening(
    store: Store, root: Path, record: VersionRecord, new_variant: MakeVariant
) -> None:
    new = new_variant(
        external={"w": b"weights"}, recipe={"method": "minmax", "nodes": ["a"], "step": 0.1}, min_speedup=1.5
    )
    added = store.add_variant(record, new)
    assert added.created
    with Store.open(root) as again:
        again.rebuild()
        assert again.resolve("digits") == added.record
        found = again.resolve("digits").variants[1]
        path = again.materialise(added.record, "int8")
        report, golden = again.report(added.record, "int8"), again.golden(added.record, "int8").read_bytes()
    assert (found.name, found.engine, found.recipe) == ("int8", "onnxruntime", new.recipe)
    assert (found.accurate, found.min_speedup) == (True, 1.5)
    assert (path.read_bytes(), (path.parent / "w").read_bytes()) == (b"a variant", b"weights")
    assert (report, golden) == (b"{}", b"golden rows")
    assert found.bytes == len(b"a variant" + b"weights")


def test_the_published_variant_stays_first_and_knows_no_recipe(
    store: Store, record: VersionRecord, new_variant: MakeVariant
) -> None:
    for name in ("int8", "bf16"):
        store.add_variant(record, new_variant(name))
    source, *others = store.resolve("digits").variants
    assert (source.name, source.recipe, source.accurate) == ("fp32", None, None)
    assert (source.report, source.golden) == (None, None)
    assert [variant.name for variant in others] == ["bf16", "int8"]


def test_the_same_variant_once_more_changes_nothing_whatever_was_measured(
    store: Store, root: Path, record: VersionRecord, new_variant: MakeVariant
) -> None:
    first = store.add_variant(record, new_variant())
    before, revision = files_under(root), store.revision()
    again = store.add_variant(record, new_variant(report=b"measured anew", golden=b"other rows"))
    assert (again.record, again.created) == (first.record, False)
    assert (files_under(root), store.revision()) == (before, revision)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"content": b"other"}, "bytes"),
        ({"external": {"w": b"w"}}, "bytes"),
        ({"engine": "openvino"}, "engine"),
        ({"recipe": {"method": "entropy"}}, "recipe"),
        ({"accurate": False}, "verdict"),
        ({"min_speedup": 2.0}, "least speed-up"),
        ({"accurate": None, "content": b"other"}, "bytes and verdict"),
    ],
)
def test_another_one_under_the_name_is_refused(
    store: Store, root: Path, record: VersionRecord, new_variant: MakeVariant, other: dict[str, object], what: str
) -> None:
    store.add_variant(record, new_variant())
    before = files_under(root)
    with pytest.raises(Conflict, match=f"has a variant int8 already, with another {what}. .*drop the old one"):
        store.add_variant(record, new_variant(**other))
    assert files_under(root) == before


def test_a_dropped_name_is_free_again(store: Store, record: VersionRecord, new_variant: MakeVariant) -> None:
    store.add_variant(record, new_variant())
    assert [variant.name for variant in store.drop_variant(record, "int8").variants] == ["fp32"]
    with pytest.raises(NotFound, match="has no variant 'int8'"):
        store.drop_variant(record, "int8")
    added = store.add_variant(record, new_variant(content=b"other", accurate=False))
    assert added.created
    assert store.materialise(added.record, "int8").read_bytes() == b"other"
    assert store.verify().findings == ()


def test_the_published_one_is_neither_replaced_nor_dropped(
    store: Store, record: VersionRecord, new_variant: MakeVariant
) -> None:
    with pytest.raises(Conflict, match=r"fp32 is what digits@1\.0\.0 was published with. Give the variant another"):
        store.add_variant(record, new_variant("fp32", content=b"a model"))
    with pytest.raises(Conflict, match=r"fp32 is what digits@1\.0\.0 was published with.* Retire the version"):
        store.drop_variant(record, "fp32")


def test_a_version_that_is_gone_takes_none(store: Store, record: VersionRecord, new_variant: MakeVariant) -> None:
    store.add_variant(record, new_variant())
    store.retire("digits", "1.0.0")
    acts: list[Callable[[], object]] = [
        lambda: store.add_variant(record, new_variant("int4")),
        lambda: store.drop_variant(record, "int8"),
        lambda: store.add_variant(replace(record, version="2.0.0"), new_variant()),
        lambda: store.add_variant(replace(record, name="digit"), new_variant()),
    ]
    for act in acts:
        with pytest.raises(NotFound):
            act()
    store.gc()
    assert store.verify().blobs == 0


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"name": "INT8"}, InvalidName),
        ({"external": {"../w": Path("w")}}, InvalidName),
        ({"recipe": {"node": "half a pair: \ud800"}}, InvalidMetadata),
        ({"recipe": {"scale": float("nan")}}, InvalidMetadata),
        ({"recipe": {"scale": np.float32(0.1)}}, InvalidMetadata),
        ({"recipe": {"shape": (1, 2)}}, InvalidMetadata),
        ({"recipe": {"source": Path("x.onnx")}}, InvalidMetadata),
        ({"recipe": {"a": json.loads("[" * 230 + "]" * 230)}}, InvalidMetadata),
        ({"source": Path("missing.onnx")}, StorageFailed),
        ({"golden": Path("missing.npz")}, StorageFailed),
    ],
)
def test_what_cannot_be_stored_leaves_nothing(
    store: Store, root: Path, record: VersionRecord, new_variant: MakeVariant,
    change: dict[str, object], error: type[Exception],
) -> None:  # fmt: skip
    before = sorted(root.rglob("*"))
    with pytest.raises(error):
        store.add_variant(record, replace(new_variant(), **change))
    assert sorted(root.rglob("*")) == before


def test_a_variant_without_report_and_golden_rows_says_so(
    store: Store, record: VersionRecord, new_variant: MakeVariant
) -> None:
    record = store.add_variant(record, new_variant(report=None, golden=None)).record
    with pytest.raises(NotFound, match="has no report"):
        store.report(record, "int8")
    with pytest.raises(NotFound, match="has no golden rows"):
        store.golden(record, "fp32")
    with pytest.raises(NotFound, match="its variants are: fp32, int8"):
        store.report(record, "int4")


def test_damage_is_never_handed_out_and_adding_again_mends_it(
    store: Store, root: Path, record: VersionRecord, new_variant: MakeVariant
) -> None:
    record = store.add_variant(record, new_variant()).record
    for file in record.variants[1].stored:
        (root / "blobs" / "sha256" / file.digest).unlink()
    reads: list[Callable[[], object]] = [
        lambda: store.materialise(record, "int8"),
        lambda: store.report(record, "int8"),
        lambda: store.golden(record, "int8"),
    ]
    for read in reads:
        with pytest.raises(Corrupt, match="is missing"):
            read()
    assert not store.add_variant(record, new_variant()).created
    for read in reads:
        read()
    assert store.verify().findings == ()


def test_gc_keeps_all_of_a_variant_until_it_is_dropped(
    store: Store, record: VersionRecord, new_variant: MakeVariant
) -> None:
    record = store.add_variant(record, new_variant()).record
    store.materialise(record, "int8")
    assert (store.gc().blobs, store.verify().blobs) == (0, 4)
    store.drop_variant(record, "int8")
    assert store.gc().blobs == 3
    assert store.materialise(record, "fp32").read_bytes() == b"a model"
    with pytest.raises(Corrupt):
        store.materialise(record, "int8")


def test_openvino_opens_what_it_saved(store: Store, record: VersionRecord, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    source = graphs.save(graphs.linear(np.eye(4)), tmp_path / "linear.onnx")
    openvino.serialize(openvino.Core().read_model(source), tmp_path / "int8-openvino.xml")
    external = {"int8-openvino.bin": tmp_path / "int8-openvino.bin"}
    new = NewVariant("ir", "openvino", tmp_path / "int8-openvino.xml", external, {}, None, None, None)
    path = store.materialise(store.add_variant(record, new).record, "ir")
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    np.testing.assert_array_equal(openvino.Core().compile_model(path, "CPU")(rows)[0], rows)


def test_openvinos_weights_lie_beside_the_model_under_its_name(
    store: Store, record: VersionRecord, tmp_path: Path
) -> None:
    digests = set()
    for number, stem in enumerate(("net", "other.net")):
        (tmp_path / f"{stem}.xml").write_bytes(b"<net/>")
        (tmp_path / f"{stem}.bin").write_bytes(b"weights")
        new = NewVariant(
            f"ir-{number}", "openvino", tmp_path / f"{stem}.xml", {f"{stem}.bin": tmp_path / f"{stem}.bin"},
            {}, None, None, None,
        )  # fmt: skip
        path = store.materialise(store.add_variant(record, new).record, new.name)
        assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == {
            "model.xml": b"<net/>", "model.bin": b"weights",
        }  # fmt: skip
        assert path.name == "model.xml"
        digests.add(path.parent.name)
    assert len(digests) == 1


def test_an_onnx_models_external_data_keep_the_name_that_it_knows(
    store: Store, record: VersionRecord, new_variant: MakeVariant
) -> None:
    new = new_variant()
    new = replace(new, external={f"{new.source.stem}.bin": new.source})
    path = store.materialise(store.add_variant(record, new).record, "int8")
    assert (path.parent / f"{new.source.stem}.bin").exists()


def test_a_tflite_keeps_its_extension(store: Store, record: VersionRecord, new_variant: MakeVariant) -> None:
    new = new_variant("int8-litert", engine="litert", suffix=".TFLite")
    assert store.materialise(store.add_variant(record, new).record, new.name).name == "model.tflite"


def test_progress_counts_the_artifact(store: Store, record: VersionRecord, new_variant: MakeVariant) -> None:
    calls: list[tuple[int, int]] = []
    store.add_variant(record, new_variant(external={"w": b"w"}), lambda *call: calls.append(call))
    assert calls[-1] == (10, 10)
