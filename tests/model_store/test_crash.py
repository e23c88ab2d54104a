"""Killed at any step, or out of disk at any step: the store opens clean and holds all of it or nothing."""

import resource
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.engine.default import DefaultDialect

from model_store.errors import StorageFailed
from model_store.records import NewVersion
from model_store.store import Store
from tests.model_store.conftest import MakeVariant, MakeVersion
from tests.model_store.faults import TAKES_SPACE, Steps, disk_full, killed_at

MOST_STEPS = 300


@pytest.fixture
def new(new_version: MakeVersion) -> NewVersion:
    """What is published while something goes wrong."""
    return new_version("2.0.0", content=b"two", external={"w": b"weights"}, labels=("stable",))


@pytest.fixture
def before(tmp_path: Path, new_version: MakeVersion) -> Path:
    """A store with a version before it, to be copied."""
    publisher(tmp_path / "before", new_version("1.0.0", labels=("stable",)))()
    return tmp_path / "before"


def publisher(root: Path, new: NewVersion) -> Callable[[], None]:
    def publish() -> None:
        with Store.open(root, wait_seconds=0) as store:
            store.publish(new)

    return publish


def holds(root: Path, new: NewVersion) -> bool:
    """Open the store, which must be sound, and tell whether it has the version: whole, or not at all."""
    with Store.open(root, wait_seconds=0) as store:
        assert store.verify().findings == ()
        if new.name not in store.models():
            assert list((root / "manifests").glob("*/2.0.0/**")) == []
            return False
        living = [record.version for record in store.versions(new.name)]
        if new.version not in living:
            assert store.labels(new.name) == ({"stable": "1.0.0"} if living else {})
            return False
        record = store.resolve(new.name, label="stable")
        assert record.version == new.version
        path = store.materialise(record, "fp32")
        assert (path.read_bytes(), (path.parent / "w").read_bytes()) == (b"two", b"weights")
        return True


@pytest.mark.parametrize("with_history", [False, True])
def test_a_publisher_that_is_killed_at_any_step(
    tmp_path: Path, before: Path, new: NewVersion, with_history: bool
) -> None:
    outcomes = []
    for step in range(1, MOST_STEPS):
        root = tmp_path / str(step)
        if with_history:
            shutil.copytree(before, root)
        died = killed_at(step, publisher(root, new))
        outcomes.append(holds(root, new))
        if not died:
            break
        publisher(root, new)()
        assert holds(root, new)
        with Store.open(root) as store:
            assert (store.gc().blobs, list((root / "tmp").iterdir())) == (0, [])
    else:
        pytest.fail("the publisher never came through")
    assert len(outcomes) > 50
    # At some step nothing turns into all, once.
    assert outcomes == sorted(outcomes)
    assert (outcomes[0], outcomes[-1]) == (False, True)


@pytest.mark.parametrize("act", ["add_variant", "drop_variant", "label", "unlabel", "retire", "gc", "rebuild"])
def test_every_other_writer_that_is_killed_at_any_step(
    tmp_path: Path, new_version: MakeVersion, new_variant: MakeVariant, act: str
) -> None:
    dropped, old, new_one = new_variant("int8"), new_variant("int4", b"4"), new_variant("int8", b"8")
    versions = [new_version(f"1.{minor}.0", content=b"%d" % minor) for minor in range(3)]
    acts: dict[str, Callable[[Store], object]] = {
        "add_variant": lambda store: store.add_variant(store.resolve("digits", "1.1.0"), new_one),
        "drop_variant": lambda store: store.drop_variant(store.resolve("digits", "1.1.0"), "int4"),
        "label": lambda store: store.label("digits", "1.1.0", "stable"),
        "unlabel": lambda store: store.unlabel("digits", "stable"),
        "retire": lambda store: store.retire("digits", "1.1.0"),
        "gc": lambda store: store.gc(),
        "rebuild": lambda store: store.rebuild(),
    }
    with Store.open(tmp_path / "before") as store:
        for new in versions:
            store.publish(new)
        store.label("digits", "1.0.0", "stable")
        store.retire("digits", "1.2.0")
        record = store.resolve("digits", "1.1.0")
        store.add_variant(record, old)
        store.add_variant(record, dropped)
        store.drop_variant(record, "int8")
        before = store.model("digits")
    for step in range(1, MOST_STEPS):
        root = tmp_path / str(step)
        shutil.copytree(tmp_path / "before", root)
        with Store.open(root) as store:
            died = killed_at(step, lambda store=store: acts[act](store))
        with Store.open(root, wait_seconds=0) as store:
            assert store.verify().findings == ()
            between = store.model("digits")
            acts[act](store) if (between == before or act not in ("unlabel", "drop_variant")) else None
            after = store.model("digits")
            assert between in (before, after)
            store.gc()
            assert list((root / "tmp").iterdir()) == []
            assert store.verify().findings == ()
        if not died:
            assert between == after
            return
    pytest.fail("it never came through")


def test_a_disk_that_is_full_at_any_step(tmp_path: Path, before: Path, new: NewVersion) -> None:
    outcomes = []
    for step in range(1, MOST_STEPS):
        root = tmp_path / str(step)
        shutil.copytree(before, root)
        problem = ""
        with Store.open(root, wait_seconds=0) as store, Steps(step, disk_full, TAKES_SPACE) as steps:
            try:
                store.publish(new)
            except StorageFailed as error:
                problem = str(error)
        outcomes.append(holds(root, new))
        publisher(root, new)()
        assert holds(root, new)
        if steps.count < step:
            break
        assert "No space left on device" in problem or outcomes[-1]
    else:
        pytest.fail("it never came through")
    assert (outcomes[0], outcomes[-1]) == (False, True)


def test_a_variant_on_a_disk_that_is_full_at_any_step(tmp_path: Path, before: Path, new_variant: MakeVariant) -> None:
    new = new_variant(external={"w": b"weights"})
    outcomes = []
    for step in range(1, MOST_STEPS):
        root = tmp_path / str(step)
        shutil.copytree(before, root)
        problem = ""
        with Store.open(root, wait_seconds=0) as store, Steps(step, disk_full, TAKES_SPACE) as steps:
            try:
                store.add_variant(store.resolve("digits"), new)
            except StorageFailed as error:
                problem = str(error)
        with Store.open(root, wait_seconds=0) as store:
            assert store.verify().findings == ()
            outcomes.append(not store.add_variant(store.resolve("digits"), new).created)
            assert (store.gc().blobs, store.verify().findings) == (0, ())
        if steps.count < step:
            break
        assert "No space left on device" in problem or outcomes[-1]
    else:
        pytest.fail("it never came through")
    assert (outcomes[0], outcomes[-1]) == (False, True)


def test_what_the_kernel_itself_refuses_leaves_nothing(store: Store, root: Path, new_version: MakeVersion) -> None:
    """A file-size limit of this process, less than the model needs."""
    new = new_version(content=b"x" * (1 << 20), external={"w": b"w" * (3 << 20)})
    before = sorted(root.rglob("*"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(StorageFailed, match="File too large"):
            store.publish(new)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(root.rglob("*")) == before


def test_a_catalogue_that_cannot_grow_is_filled_later(store: Store, root: Path, new: NewVersion) -> None:
    def refuse(*_: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DefaultDialect, "do_commit", refuse)
        with pytest.raises(StorageFailed, match="database or disk is full"):
            store.publish(new)
    assert store.models() == []
    assert not store.publish(new).created
    assert holds(root, new)
