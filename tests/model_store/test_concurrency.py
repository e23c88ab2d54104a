"""Several processes and threads at one store."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model_store.errors import Conflict, StoreBusy
from model_store.lock import exclusive
from model_store.records import NewVariant, NewVersion
from model_store.store import Store
from tests.model_store.conftest import MakeVariant, MakeVersion
from tests.model_store.faults import fork

WON, LOST, FAILED = 10, 20, 30


def race(acts: list[Callable[[], int]]) -> list[int]:
    """Run each act in a process of its own; all start when the last one is there. Returns what they returned."""
    ready, go = os.pipe()
    children = []
    for act in acts:
        child = fork()
        if child == 0:
            code = FAILED
            try:
                os.close(go)
                os.read(ready, 1)  # until the parent closes the other end
                code = act()
            finally:
                os._exit(code)
        children.append(child)
    os.close(go)
    os.close(ready)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def publisher(root: Path, new: NewVersion) -> Callable[[], int]:
    def publish() -> int:
        try:
            with Store.open(root) as store:
                return WON if store.publish(new).created else LOST
        except Conflict as error:
            return LOST if "is there already with other bytes" in str(error) else FAILED

    return publish


@pytest.mark.parametrize("prepared", [True, False])
def test_of_publishers_of_the_same_version_exactly_one_wins(
    root: Path, new_version: MakeVersion, prepared: bool
) -> None:
    if prepared:
        Store.open(root).close()
    news = [new_version(content=b"model %d" % number, labels=("stable",)) for number in range(6)]
    outcomes = race([publisher(root, new) for new in news])
    assert sorted(outcomes) == [WON] + [LOST] * 5
    with Store.open(root) as store:
        winner = news[outcomes.index(WON)]
        assert store.materialise(store.resolve("digits"), "fp32").read_bytes() == winner.source.read_bytes()
        assert store.verify().findings == ()
        assert store.gc().blobs == 0


def test_publishers_of_the_same_bytes_all_succeed(root: Path, new_version: MakeVersion) -> None:
    assert sorted(race([publisher(root, new_version()) for _ in range(4)])) == [WON] + [LOST] * 3


def adder(root: Path, new: NewVariant) -> Callable[[], int]:
    def add() -> int:
        try:
            with Store.open(root) as store:
                return WON if store.add_variant(store.resolve("digits"), new).created else LOST
        except Conflict as error:
            return LOST if "another bytes" in str(error) else FAILED

    return add


def test_of_those_who_add_a_variant_of_the_same_name_exactly_one_wins(
    root: Path, new_version: MakeVersion, new_variant: MakeVariant
) -> None:
    with Store.open(root) as store:
        store.publish(new_version())
    news = [new_variant(content=b"variant %d" % number) for number in range(5)]
    outcomes = race([adder(root, new) for new in news])
    assert sorted(outcomes) == [WON] + [LOST] * 4
    with Store.open(root) as store:
        winner = news[outcomes.index(WON)]
        assert store.materialise(store.resolve("digits"), "int8").read_bytes() == winner.source.read_bytes()
        assert store.verify().findings == ()


def test_gc_never_races_who_adds_or_drops_variants(
    root: Path, new_version: MakeVersion, new_variant: MakeVariant
) -> None:
    with Store.open(root) as store:
        store.publish(new_version())

    def collect() -> int:
        with Store.open(root) as store:
            for _ in range(10):
                store.gc()
        return WON

    def come_and_go(name: str) -> Callable[[], int]:
        news = [new_variant(name, b"%d of %s" % (number, name.encode())) for number in range(4)]

        def act() -> int:
            with Store.open(root) as store:
                for new in news:
                    record = store.add_variant(store.resolve("digits"), new).record
                    store.drop_variant(record, name) if new is not news[-1] else None
            return WON

        return act

    names = ["int4", "int8", "fp16"]
    assert race([*map(come_and_go, names), collect, collect]) == [WON] * 5
    with Store.open(root) as store:
        record = store.resolve("digits")
        assert {name: store.materialise(record, name).read_bytes() for name in names} == {
            name: b"3 of %s" % name.encode() for name in names
        }
        assert store.verify().findings == ()


def test_gc_never_races_a_publisher(root: Path, new_version: MakeVersion) -> None:
    def collect() -> int:
        with Store.open(root) as store:
            for _ in range(20):
                store.gc()
        return WON

    news = [new_version(f"1.0.{number}", content=b"model %d" % number) for number in range(8)]
    acts = [publisher(root, new) for new in news]
    assert race([*acts[:4], collect, collect, *acts[4:]]) == [WON] * 10
    with Store.open(root) as store:
        assert len(store.versions("digits")) == 8
        assert store.verify().findings == ()


def test_threads_share_one_store(store: Store, new_version: MakeVersion) -> None:
    news = [new_version(f"1.0.{number}", content=b"model %d" % number, labels=("stable",)) for number in range(8)]

    def work(new: NewVersion) -> bytes:
        return store.materialise(store.publish(new).record, "fp32").read_bytes()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, news)) == [new.source.read_bytes() for new in news]
    assert store.verify().findings == ()


def test_threads_that_want_the_same_view_all_get_it(store: Store, new_version: MakeVersion) -> None:
    record = store.publish(new_version(external={"w": b"w"})).record
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: store.materialise(record, "fp32"), range(32)))
    assert {path.read_bytes() for path in paths} == {b"a model"}


def test_waiting_is_bounded_and_the_error_says_for_whom(root: Path, new_version: MakeVersion) -> None:
    with Store.open(root, wait_seconds=0) as store:
        with exclusive(root / "lock", "a long publish", 0):
            with pytest.raises(
                StoreBusy, match=rf"changed by process {os.getpid()} \(a long publish, since .* waited 0 s"
            ):
                store.publish(new_version())
            assert store.models() == []
            assert list((root / "tmp").iterdir()) == []
        assert store.publish(new_version()).created


def test_readers_and_openers_do_not_wait_for_a_writer(root: Path, new_version: MakeVersion) -> None:
    with Store.open(root) as store:
        store.publish(new_version())
    with exclusive(root / "lock", "a long publish", 0):
        (root / "unfinished.json").write_text("half a change of a writer that lives")
        with Store.open(root, wait_seconds=0) as store:
            assert store.materialise(store.resolve("digits"), "fp32").read_bytes() == b"a model"
        (root / "unfinished.json").unlink()


def test_fifty_open_stores_leave_no_descriptor(root: Path, new_version: MakeVersion) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    Store.open(root).close()
    before = descriptors()
    for number in range(50):
        with Store.open(root) as store:
            store.publish(new_version(f"1.0.{number}", content=b"%d" % number))
            store.materialise(store.resolve("digits"), "fp32")
    assert descriptors() == before
