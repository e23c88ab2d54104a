"""gc, verify and rebuild."""

import json
import sqlite3
from pathlib import Path

import pytest

from model_store import durable
from model_store.errors import Corrupt, NotFound
from model_store.store import Store
from tests.model_store.conftest import MakeVariant, MakeVersion, files_under


def rewrite(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def test_gc_removes_only_what_no_living_version_needs(store: Store, root: Path, new_version: MakeVersion) -> None:
    shared = {"w": b"shared"}
    store.publish(new_version("1.0.0", content=b"old", external=shared))
    kept = store.publish(new_version("1.1.0", content=b"new", external=shared)).record
    gone = store.resolve("digits", "1.0.0")
    store.materialise(gone, "fp32")
    store.materialise(kept, "fp32")
    assert (store.gc().blobs, store.verify().blobs) == (0, 3)
    store.retire("digits", "1.0.0")
    assert store.verify().blobs == 3
    collected = store.gc()
    assert (collected.blobs, collected.bytes) == (1, 3)
    assert {path.name for path in (root / "cache" / "views").iterdir()} == {kept.digest}
    assert store.materialise(kept, "fp32").read_bytes() == b"new"
    assert store.verify().findings == ()
    with pytest.raises(NotFound):
        store.resolve("digits", "1.0.0")


@pytest.mark.parametrize("lost", ["manifests/digits/1.0.0/version.json", "journal/digits.jsonl"])
def test_gc_touches_nothing_while_a_manifest_or_journal_is_lost(
    store: Store, root: Path, new_version: MakeVersion, lost: str
) -> None:
    store.publish(new_version())
    store.publish(new_version("1.1.0", content=b"2"))
    (root / lost).unlink()
    with pytest.raises(Corrupt, match="nothing was removed"):
        store.gc()
    assert len(list((root / "blobs" / "sha256").iterdir())) == 2


def test_what_gc_removes_while_verify_reads_is_no_finding(store: Store, root: Path, new_version: MakeVersion) -> None:
    for number in range(3):
        store.publish(new_version(f"1.0.{number}", content=b"model %d" % number))
    calls: list[int] = []

    def retire_and_collect(done: int, _: int) -> None:
        if not calls:
            store.retire("digits", "1.0.0")
            store.retire("digits", "1.0.1")
            store.gc()
        calls.append(done)

    assert store.verify(retire_and_collect).findings == ()
    assert len(calls) < 3


def test_gc_spares_a_publisher_at_work_and_removes_a_dead_ones_leftovers(store: Store, root: Path) -> None:
    (root / "tmp" / "leftover").write_bytes(b"half")
    with durable.staged(root / "tmp", [b"abc"], 3) as file:
        assert store.gc().leftovers == 1
        assert file.path.exists()


def test_verify_reads_every_byte(store: Store, new_version: MakeVersion) -> None:
    store.publish(new_version(external={"w": b"weights"}))
    calls: list[tuple[int, int]] = []
    report = store.verify(lambda *call: calls.append(call))
    assert (report.versions, report.blobs, report.bytes, report.findings) == (1, 2, 14, ())
    assert calls[-1] == (14, 14)


def findings(store: Store) -> str:
    return "\n".join(f"{found.subject}: {found.problem}" for found in store.verify().findings)


@pytest.mark.parametrize("file", ["blobs", "manifests", "journal"])
def test_verify_notices_one_changed_byte_anywhere(
    store: Store, root: Path, new_version: MakeVersion, new_variant: MakeVariant, file: str
) -> None:
    record = store.publish(new_version(labels=("stable",))).record
    store.add_variant(record, new_variant())
    store.add_variant(record, new_variant("int4"))
    store.drop_variant(record, "int4")
    for path in sorted((root / file).rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            for position in (0, len(data) // 2, len(data) - 1):
                rewrite(path, data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
                assert findings(store) != "", (path, position)
            rewrite(path, data)
    assert findings(store) == ""


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("blobs/sha256/*", r"digits@1\.0\.0: blob \w+ is missing"),
        ("manifests/digits/1.0.0/version.json", r"digits@1\.0\.0: .*version\.json is missing"),
        ("manifests/digits/1.0.0/variants/fp32.json", r"digits@1\.0\.0: .*fp32\.json is missing"),
        ("manifests/digits/1.0.0/variants/int8.json", r"digits@1\.0\.0: .*int8\.json is missing"),
        ("journal/digits.jsonl", r"digits@1\.0\.0: .*digits\.jsonl knows nothing of"),
    ],
)
def test_verify_notices_every_file_that_is_missing(
    store: Store, root: Path, new_version: MakeVersion, new_variant: MakeVariant, pattern: str, problem: str
) -> None:
    import re

    store.add_variant(store.publish(new_version()).record, new_variant())
    for path in root.glob(pattern):
        path.unlink()
    assert re.search(problem, findings(store)), findings(store)


def test_a_manifest_that_the_journal_knows_nothing_of_is_noticed(
    store: Store, root: Path, new_version: MakeVersion
) -> None:
    store.publish(new_version())
    manifest = root / "manifests" / "digits" / "1.0.0" / "variants" / "fp32.json"
    (manifest.parent / "int8.json").write_bytes(manifest.read_bytes().replace(b"fp32", b"int8"))
    store.rebuild()
    assert "knows nothing of" in findings(store)
    with pytest.raises(Corrupt, match="nothing was removed"):
        store.gc()


def test_a_manifest_of_before_there_were_further_variants_reads_as_it_did(
    store: Store, root: Path, new_version: MakeVersion
) -> None:
    record = store.publish(new_version()).record
    manifest = root / "manifests" / "digits" / "1.0.0" / "variants" / "fp32.json"
    fields = json.loads(manifest.read_bytes())
    for field in ("recipe", "accurate", "report", "golden"):
        assert fields.pop(field) is None
    assert fields.pop("min_speedup") == 1.0
    rewrite(manifest, json.dumps(fields).encode())
    store.rebuild()
    assert store.resolve("digits") == record


@pytest.mark.parametrize("passed", [True, False, None])
def test_a_manifest_of_before_speed_was_a_matter_of_each_machine_reads_as_its_verdict(
    store: Store, root: Path, new_version: MakeVersion, new_variant: MakeVariant, passed: bool | None
) -> None:
    record = store.add_variant(store.publish(new_version()).record, new_variant(accurate=passed)).record
    manifest = root / "manifests" / "digits" / "1.0.0" / "variants" / "int8.json"
    fields = json.loads(manifest.read_bytes())
    del fields["min_speedup"]
    fields["passed"] = fields.pop("accurate")
    rewrite(manifest, json.dumps(fields).encode())
    store.rebuild()
    assert store.resolve("digits") == record


def test_verify_notices_a_catalogue_that_says_otherwise_and_rebuild_mends_it(
    store: Store, root: Path, new_version: MakeVersion
) -> None:
    store.publish(new_version(labels=("stable",)))
    with sqlite3.connect(root / "catalogue.sqlite") as connection:
        connection.execute("DELETE FROM label")
    connection.close()
    assert "the catalogue says otherwise" in findings(store)
    store.rebuild()
    assert findings(store) == ""
    assert store.labels("digits") == {"stable": "1.0.0"}


@pytest.mark.parametrize("content", [None, b"", b"no database at all" * 100, "truncated"])
def test_a_catalogue_that_was_lost_or_ruined_is_made_again_on_opening(
    store: Store, root: Path, new_version: MakeVersion, content: bytes | str | None
) -> None:
    published = store.publish(new_version(labels=("stable",))).record
    store.publish(new_version("1.1.0", content=b"2"))
    store.retire("digits", "1.1.0")
    before, revision = store.model("digits"), store.revision()
    path = root / "catalogue.sqlite"
    data = path.read_bytes()[:4096] if content == "truncated" else content
    path.unlink()
    if isinstance(data, bytes):
        path.write_bytes(data)
    with Store.open(root) as again:
        again.rebuild()
        assert again.model("digits") == before
        assert again.resolve("digits", label="stable") == published
        assert again.revision() > revision
        assert again.verify().findings == ()


def test_a_backup_of_the_files_is_enough(store: Store, root: Path, tmp_path: Path, new_version: MakeVersion) -> None:
    store.publish(new_version(labels=("stable",), external={"w": b"w"}))
    store.publish(new_version("2.0.0", content=b"2", name="other"))
    for name, data in files_under(root).items():
        target = tmp_path / "restored" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    with Store.open(tmp_path / "restored") as restored:
        assert restored.models() == ["digits", "other"]
        assert restored.model("digits") == store.model("digits")
        assert restored.verify().findings == ()
        restored.materialise(restored.resolve("digits"), "fp32")


def test_a_torn_end_of_a_journal_is_cut_off_by_the_next_writer(
    store: Store, root: Path, new_version: MakeVersion
) -> None:
    store.publish(new_version(labels=("stable",)))
    with (root / "journal" / "digits.jsonl").open("ab") as file:
        file.write(b'{"seq":3,"at":"2025')
    with Store.open(root) as again:
        assert again.labels("digits") == {"stable": "1.0.0"}
        again.label("digits", "1.0.0", "canary")
        assert again.labels("digits") == {"stable": "1.0.0", "canary": "1.0.0"}
        again.rebuild()
        assert again.labels("digits") == {"stable": "1.0.0", "canary": "1.0.0"}
        assert again.verify().findings == ()


def test_a_damaged_journal_stops_writers_and_not_readers(store: Store, root: Path, new_version: MakeVersion) -> None:
    store.publish(new_version(labels=("stable",)))
    path = root / "journal" / "digits.jsonl"
    path.write_bytes(b"{}\n" + path.read_bytes())
    with Store.open(root) as again:
        assert again.resolve("digits", label="stable").version == "1.0.0"
        with pytest.raises(Corrupt, match="line 1 is not entry 1"):
            again.label("digits", "1.0.0", "canary")


def test_the_manifests_hold_what_the_format_says(store: Store, root: Path, new_version: MakeVersion) -> None:
    store.publish(new_version(labels=("stable",), external={"w": b"w"}))
    version = json.loads((root / "manifests" / "digits" / "1.0.0" / "version.json").read_bytes())
    variant = json.loads((root / "manifests" / "digits" / "1.0.0" / "variants" / "fp32.json").read_bytes())
    assert list(version) == ["format", "name", "version", "digest", "signature", "metadata", "parent", "published_at"]
    assert list(variant) == [
        "format", "name", "engine", "digest", "files", "recipe", "accurate", "min_speedup", "report", "golden",
    ]  # fmt: skip
    assert [file["name"] for file in variant["files"]] == ["model.onnx", "w"]
    lines = [json.loads(line) for line in (root / "journal" / "digits.jsonl").read_bytes().splitlines()]
    assert [(line["seq"], line["action"], line.get("label")) for line in lines] == [
        (1, "publish", None),
        (2, "label", "stable"),
    ]
    assert set(lines[0]["manifests"]) == {"version.json", "variants/fp32.json"}
