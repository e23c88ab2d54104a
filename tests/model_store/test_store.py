"""What the front door promises, on a store on disk."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from model_store.errors import (
    Conflict,
    FormatTooNew,
    InvalidMetadata,
    InvalidName,
    InvalidVersion,
    NotAStore,
    NotFound,
    StorageFailed,
    UnknownLabel,
)
from model_store.manifest import Metadata
from model_store.records import NewVersion
from model_store.store import Store
from tests.model_store.conftest import SIGNATURE, MakeVersion, files_under


def test_what_was_published_is_there_again_after_opening(store: Store, root: Path, new_version: MakeVersion) -> None:
    made = new_version(external={"weights/a.bin": b"weights"}, labels=("stable",))
    metadata = Metadata(training_data_version="2025-01", metrics={"accuracy": 0.99}, tags=["tiny"])
    new = NewVersion(made.name, made.version, made.source, made.external, SIGNATURE, metadata, labels=made.labels)
    published = store.publish(new)
    assert published.created
    with Store.open(root) as again:
        assert again.versions("digits") == [published.record]
        assert again.labels("digits") == {"stable": "1.0.0"}
        assert again.models() == ["digits"]
        record = again.resolve("digits")
    assert (record.signature, record.metadata, record.parent) == (SIGNATURE, metadata, None)
    assert [(v.name, v.engine, v.bytes) for v in record.variants] == [("fp32", "onnxruntime", 14)]


def test_the_digest_of_a_lone_file_is_its_own_and_external_files_count(store: Store, new_version: MakeVersion) -> None:
    from hashlib import sha256

    plain = store.publish(new_version("1.0.0")).record
    assert plain.digest == sha256(b"a model").hexdigest()
    digests = {
        store.publish(new_version(version, external=external)).record.digest
        for version, external in [("1.0.1", {"w": b"1"}), ("1.0.2", {"w": b"2"}), ("1.0.3", {"v": b"1"})]
    }
    assert len(digests | {plain.digest}) == 4


def test_the_same_bytes_once_more_change_nothing(store: Store, root: Path, new_version: MakeVersion) -> None:
    first = store.publish(new_version(external={"w": b"w"}))
    before, revision = files_under(root), store.revision()
    again = store.publish(new_version(external={"w": b"w"}))
    assert not again.created
    assert again.record == first.record
    assert files_under(root) == before
    assert store.revision() == revision


def test_the_same_bytes_once_more_still_set_labels(store: Store, new_version: MakeVersion) -> None:
    store.publish(new_version(labels=("stable",)))
    assert not store.publish(new_version(labels=("stable", "canary"))).created
    assert store.labels("digits") == {"stable": "1.0.0", "canary": "1.0.0"}


@pytest.mark.parametrize(
    ("content", "external"),
    [(b"other", {"w": b"w"}), (b"a model", {"w": b"v"}), (b"a model", {"v": b"w"}), (b"a model", {})],
)
def test_other_bytes_under_the_same_version_are_refused(
    store: Store, root: Path, new_version: MakeVersion, content: bytes, external: dict[str, bytes]
) -> None:
    store.publish(new_version(external={"w": b"w"}))
    before = files_under(root)
    with pytest.raises(Conflict, match=r"digits@1\.0\.0 is there already with other bytes"):
        store.publish(new_version(content=content, external=external, labels=("stable",)))
    assert files_under(root) == before
    assert store.labels("digits") == {}


def test_names_keep_their_case_and_are_unique_without_it(store: Store, new_version: MakeVersion) -> None:
    store.publish(new_version(name="Digits"))
    assert store.models() == ["Digits"]
    with pytest.raises(Conflict, match=r"'Digits'.* Use that spelling"):
        store.publish(new_version("2.0.0", name="digits"))
    assert store.resolve("dIGITS").name == "Digits"
    assert store.label("DIGITS", "1.0.0", "stable").name == "Digits"
    assert store.labels("digits") == {"stable": "1.0.0"}


@pytest.mark.parametrize(
    ("change", "error"),
    [({"name": "../x"}, InvalidName), ({"version": "1"}, InvalidVersion), ({"labels": ("a-b",)}, InvalidName),
     ({"external": {"../w": b""}}, InvalidName)],
)  # fmt: skip
def test_bad_names_are_refused_before_anything_is_written(
    store: Store, root: Path, new_version: MakeVersion, change: dict[str, object], error: type[Exception]
) -> None:
    before = sorted(root.rglob("*"))
    new = new_version(**{key: value for key, value in change.items() if key != "external"})
    if "external" in change:
        new = NewVersion("digits", "1.0.0", new.source, {"../w": new.source}, SIGNATURE, Metadata())
    with pytest.raises(error):
        store.publish(new)
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize("value", ["half a pair: \ud800", float("nan"), json.loads("[" * 230 + "]" * 230)])
def test_metadata_that_could_not_be_read_again_is_refused_before_anything_is_written(
    store: Store, root: Path, new_version: MakeVersion, value: JsonValue
) -> None:
    before = files_under(root)
    with pytest.raises(InvalidMetadata):
        store.publish(replace(new_version(), metadata=Metadata(hyperparameters={"a": value})))
    assert files_under(root) == before


def test_metadata_is_as_deep_as_it_may_be_and_comes_back(store: Store, new_version: MakeVersion) -> None:
    deepest = Metadata(hyperparameters={"a": json.loads("[" * 190 + "]" * 190)})
    store.publish(replace(new_version(), metadata=deepest))
    store.rebuild()
    assert store.resolve("digits").metadata == deepest


def test_a_source_that_cannot_be_read_leaves_nothing(store: Store, root: Path, new_version: MakeVersion) -> None:
    new = new_version(external={"w": b"w"})
    new.external["w"].unlink()
    before = sorted(root.rglob("*"))
    with pytest.raises(StorageFailed, match="Nothing was stored"):
        store.publish(new)
    assert sorted(root.rglob("*")) == before


def test_progress_counts_every_byte_once(store: Store, new_version: MakeVersion) -> None:
    calls: list[tuple[int, int]] = []
    store.publish(new_version(content=b"x" * (3 << 20), external={"w": b"w"}), lambda *call: calls.append(call))
    assert calls[-1] == ((3 << 20) + 1, (3 << 20) + 1)
    assert len(calls) == 4
    assert calls == sorted(calls)


def test_resolve(store: Store, new_version: MakeVersion) -> None:
    for version in ("1.9.0", "1.10.0", "1.2.0", "2.0.0-rc.1"):
        store.publish(new_version(version, content=version.encode()))
    store.label("digits", "2.0.0-rc.1", "canary")
    assert [record.version for record in store.versions("digits")] == ["1.2.0", "1.9.0", "1.10.0", "2.0.0-rc.1"]
    assert store.resolve("digits").version == "1.10.0"
    assert store.resolve("digits", "1").version == "1.10.0"
    assert store.resolve("digits", "1.2").version == "1.2.0"
    assert store.resolve("digits", "1.9.0").version == "1.9.0"
    assert store.resolve("digits", "2.0.0-rc.1").version == "2.0.0-rc.1"
    assert store.resolve("digits", label="canary").version == "2.0.0-rc.1"
    with pytest.raises(NotFound, match=r"digits has no version 2; .*pre-release"):
        store.resolve("digits", "2")
    with pytest.raises(NotFound, match=r"digits has no version 1\.2\.1"):
        store.resolve("digits", "1.2.1")
    with pytest.raises(UnknownLabel, match="its labels are: canary"):
        store.resolve("digits", label="stable")
    with pytest.raises(InvalidVersion):
        store.resolve("digits", "latest")
    with pytest.raises(NotFound, match="did you mean 'digits'"):
        store.resolve("digit")


def test_the_parent_is_the_highest_release_below(store: Store, new_version: MakeVersion) -> None:
    parents = {}
    for version in ("1.0.0", "2.0.0", "1.1.0", "1.1.1-rc.1", "1.2.0"):
        parents[version] = store.publish(new_version(version, content=version.encode())).record.parent
    assert parents == {"1.0.0": None, "2.0.0": "1.0.0", "1.1.0": "1.0.0", "1.1.1-rc.1": "1.1.0", "1.2.0": "1.1.0"}


def test_labels_move_and_go(store: Store, new_version: MakeVersion) -> None:
    store.publish(new_version("1.0.0", labels=("stable",)))
    store.publish(new_version("1.1.0", content=b"2"))
    assert store.label("digits", "1", "stable").version == "1.1.0"
    assert store.labels("digits") == {"stable": "1.1.0"}
    assert store.unlabel("digits", "stable").version == "1.1.0"
    assert store.labels("digits") == {}
    with pytest.raises(UnknownLabel):
        store.unlabel("digits", "stable")
    with pytest.raises(NotFound):
        store.label("digits", "3.0.0", "stable")


def test_a_version_with_a_label_is_not_retired(store: Store, new_version: MakeVersion) -> None:
    store.publish(new_version(labels=("stable", "canary")))
    with pytest.raises(Conflict, match="carries the label canary, stable"):
        store.retire("digits", "1.0.0")
    assert not store.resolve("digits").retired


def test_retired_is_for_good(store: Store, new_version: MakeVersion) -> None:
    store.publish(new_version())
    store.retire("digits", "1.0.0")
    store.retire("digits", "1.0.0")
    assert store.versions("digits") == []
    assert [record.retired for record in store.versions("digits", retired=True)] == [True]
    with pytest.raises(NotFound, match="is retired"):
        store.resolve("digits", "1.0.0")
    with pytest.raises(NotFound, match="is retired"):
        store.label("digits", "1.0.0", "stable")
    with pytest.raises(Conflict, match="is retired, and a version is never used twice"):
        store.publish(new_version())
    with pytest.raises(InvalidVersion):
        store.retire("digits", "1")


def test_the_revision_changes_with_every_change_by_anybody(store: Store, root: Path, new_version: MakeVersion) -> None:
    with Store.open(root) as other:
        seen = [store.revision()]
        for change in (
            lambda: other.publish(new_version()),
            lambda: other.publish(new_version("1.1.0", content=b"2")),
            lambda: other.label("digits", "1.0.0", "stable"),
            lambda: other.unlabel("digits", "stable"),
            lambda: other.retire("digits", "1.0.0"),
            other.rebuild,
        ):
            change()
            seen.append(store.revision())
        assert len(set(seen)) == 7
        other.label("digits", "1.1.0", "stable")
        before = store.revision()
        other.label("digits", "1.1.0", "stable")
        other.gc()
        other.verify()
        assert store.revision() == before


def test_what_is_remembered_is_recalled(store: Store, root: Path) -> None:
    assert store.recall("tuning/host/digest") is None
    store.remember("tuning/host/digest", b"1")
    store.remember("tuning/host/digest", b"2")
    assert store.recall("tuning/host/digest") == b"2"
    assert store.recall("tuning/host") is None
    assert store.recall("tuning/host/digest/deeper") is None
    with pytest.raises(InvalidName):
        store.remember("../../x", b"")
    with Store.open(root) as again:
        assert again.recall("tuning/host/digest") == b"2"


def test_a_folder_with_other_things_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(NotAStore, match=r"holds other things \(letter.txt\)"):
        Store.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    with pytest.raises(NotAStore, match="is a file"):
        Store.open(tmp_path / "letter.txt")


def test_the_cache_may_be_there_before_the_store(root: Path) -> None:
    (root / "cache" / "plans").mkdir(parents=True)
    with Store.open(root) as store:
        assert store.plans == root / "cache" / "plans"


def test_who_only_reads_makes_no_store(tmp_path: Path) -> None:
    with pytest.raises(NotAStore, match="there is no store in"):
        Store.open(tmp_path / "typo", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_newer_format_is_refused(store: Store, root: Path) -> None:
    (root / "format.json").unlink()
    (root / "format.json").write_text('{"octet_store": 2}')
    with pytest.raises(FormatTooNew, match="has format 2"):
        Store.open(root)


@pytest.mark.parametrize("folder", ["with blank", "per%20cent", "what?mode=ro", "hash#tag", "ünïcode"])
def test_the_folder_may_have_any_name(tmp_path: Path, folder: str, new_version: MakeVersion) -> None:
    with Store.open(tmp_path / folder) as store:
        store.publish(new_version())
    with Store.open(tmp_path / folder) as store:
        assert store.models() == ["digits"]


def test_opening_an_existing_store_imports_no_alembic(store: Store, root: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from model_store.store import Store\n"
        f"with Store.open(Path({str(root)!r})) as store: store.models()\n"
        "print(sorted({'alembic', 'mako', 'onnx', 'numpy', 'sqlalchemy.orm', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
