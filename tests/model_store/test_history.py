"""Any sequence of changes, against a dictionary that does the same."""

import shutil
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from model_store.errors import Conflict, NotFound, UnknownLabel
from model_store.manifest import Metadata
from model_store.records import NewVariant, NewVersion, VersionRecord
from model_store.store import Store
from model_store.versions import ascending, highest_released

NAMES = st.sampled_from(["digits", "Other"])
VERSIONS = st.sampled_from(["1.0.0", "1.9.0", "1.10.0", "2.0.0-rc.1"])
CONTENTS = st.sampled_from([b"one", b"two"])
VARIANTS = st.sampled_from(["int8", "fp16"])
LABELS = st.sampled_from(["stable", "canary"])


class History(RuleBasedStateMachine):
    """`versions`, `variants` and `labels` are what the store should say."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = Path(mkdtemp(dir=folder))
        self.store = Store.open(self.folder / "store")
        self.versions: dict[str, dict[str, bytes]] = {}
        self.retired: dict[str, set[str]] = {}
        self.labels: dict[str, dict[str, str]] = {}
        self.variants: dict[tuple[str, str], dict[str, bytes]] = {}

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    def living(self, name: str) -> list[str]:
        return ascending(set(self.versions.get(name, {})) - self.retired.get(name, set()))

    @rule(name=NAMES, version=VERSIONS, content=CONTENTS, labels=st.sets(LABELS))
    def publish(self, name: str, version: str, content: bytes, labels: set[str]) -> None:
        source = self.folder / "source.onnx"
        source.write_bytes(content)
        new = NewVersion(name, version, source, {}, {"content": content.decode()}, Metadata(), labels=tuple(labels))
        known = self.versions.get(name, {}).get(version)
        if version in self.retired.get(name, ()) or known not in (None, content):
            with pytest.raises(Conflict):
                self.store.publish(new)
            return
        assert self.store.publish(new).created is (known is None)
        self.versions.setdefault(name, {})[version] = content
        self.labels.setdefault(name, {}).update(dict.fromkeys(labels, version))

    @precondition(lambda self: self.versions)
    @rule(data=st.data(), variant=VARIANTS, content=CONTENTS)
    def add_variant(self, data: st.DataObject, variant: str, content: bytes) -> None:
        record = data.draw(st.sampled_from(self.records()))
        source = self.folder / "variant.onnx"
        source.write_bytes(content)
        new = NewVariant(variant, "onnxruntime", source, {}, {}, content + b" is good", None, True)
        known = self.variants.setdefault((record.name, record.version), {})
        if record.retired:
            with pytest.raises(NotFound):
                self.store.add_variant(record, new)
        elif known.get(variant, content) != content:
            with pytest.raises(Conflict):
                self.store.add_variant(record, new)
        else:
            assert self.store.add_variant(record, new).created is (variant not in known)
            known[variant] = content

    @precondition(lambda self: any(self.variants.values()))
    @rule(data=st.data(), variant=VARIANTS)
    def drop_variant(self, data: st.DataObject, variant: str) -> None:
        with_variants = [one for one in self.records() if self.variants.get((one.name, one.version))]
        record = data.draw(st.sampled_from(with_variants))
        known = self.variants[record.name, record.version]
        if record.retired or variant not in known:
            with pytest.raises(NotFound):
                self.store.drop_variant(record, variant)
        else:
            self.store.drop_variant(record, variant)
            del known[variant]

    def records(self) -> list[VersionRecord]:
        return [record for name in self.versions for record in self.store.versions(name, retired=True)]

    @rule(name=NAMES, version=VERSIONS, label=LABELS)
    def label(self, name: str, version: str, label: str) -> None:
        if version not in self.living(name):
            with pytest.raises(NotFound):
                self.store.label(name, version, label)
        else:
            self.store.label(name, version, label)
            self.labels[name][label] = version

    @rule(name=NAMES, label=LABELS)
    def unlabel(self, name: str, label: str) -> None:
        if label not in self.labels.get(name, {}):
            with pytest.raises((NotFound, UnknownLabel)):
                self.store.unlabel(name, label)
        else:
            assert self.store.unlabel(name, label).version == self.labels[name].pop(label)

    @rule(name=NAMES, version=VERSIONS)
    def retire(self, name: str, version: str) -> None:
        if version not in self.versions.get(name, {}):
            with pytest.raises(NotFound):
                self.store.retire(name, version)
        elif version in self.labels[name].values():
            with pytest.raises(Conflict):
                self.store.retire(name, version)
        else:
            self.store.retire(name, version)
            self.retired.setdefault(name, set()).add(version)

    @rule()
    def gc(self) -> None:
        self.store.gc()
        needed = set()
        for name in self.versions:
            for version in self.living(name):
                variants = self.variants.get((name, version), {}).values()
                needed |= {self.versions[name][version], *variants, *(content + b" is good" for content in variants)}
        kept = {path.read_bytes() for path in (self.folder / "store" / "blobs" / "sha256").iterdir()}
        assert kept == needed

    @rule(lose_the_catalogue=st.booleans())
    def reopen(self, lose_the_catalogue: bool) -> None:
        self.store.close()
        if lose_the_catalogue:
            (self.folder / "store" / "catalogue.sqlite").unlink()
        self.store = Store.open(self.folder / "store")

    @rule()
    def rebuild(self) -> None:
        self.store.rebuild()

    @rule()
    def verify(self) -> None:
        assert self.store.verify().findings == ()

    @invariant()
    def says_what_it_should(self) -> None:
        assert self.store.models() == sorted(self.versions, key=str.lower)
        for name, versions in self.versions.items():
            living = self.living(name)
            assert [record.version for record in self.store.versions(name)] == living
            assert [r.version for r in self.store.versions(name, retired=True)] == ascending(versions)
            assert self.store.labels(name) == self.labels[name]
            best = highest_released(living)
            if best is None:
                with pytest.raises(NotFound):
                    self.store.resolve(name)
            else:
                record = self.store.resolve(name)
                assert record.version == best
                assert record.signature == {"content": versions[best].decode()}
                variants = {"fp32": versions[best], **dict(sorted(self.variants.get((name, best), {}).items()))}
                assert [variant.name for variant in record.variants] == list(variants)
                for variant, content in variants.items():
                    assert self.store.materialise(record, variant).read_bytes() == content
                    assert variant == "fp32" or self.store.report(record, variant) == content + b" is good"


def test_any_history(tmp_path: Path) -> None:
    run_state_machine_as_test(
        lambda: History(tmp_path), settings=settings(max_examples=30, stateful_step_count=25, deadline=None)
    )
