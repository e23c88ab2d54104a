"""Regions of real POSIX shared memory: what a client may register, and that nothing outside of it is ever touched."""

import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.errors import BodyTooLarge, Malformed, RegionNotFound, Unsupported, text_for
from app.protocols.shared_memory import _MOST_REGIONS, Regions
from tests.memory import open_memory, posix_memory

SIZE = 4096

Make = Callable[..., Path]
"""`(content)`: a file in /dev/shm that is gone after the test."""


@pytest.fixture
def make() -> Iterator[Make]:
    with ExitStack() as files:

        def make(content: bytes = bytes(range(256)) * (SIZE // 256)) -> Path:
            return files.enter_context(posix_memory(content))

        yield make


@pytest.fixture
def regions() -> Iterator[Regions]:
    regions = Regions(enabled=True)
    yield regions
    regions.close()


# --- the bytes


def test_what_a_client_wrote_is_read_and_what_is_written_it_reads(regions: Regions) -> None:
    memory = SharedMemory(create=True, size=64)
    try:
        memory.buf[:8] = b"question"
        regions.register("both ways", memory.name, 0, 64)
        assert regions.read("both ways", 0, 8) == b"question"
        regions.write("both ways", 8, b"answer")
        assert bytes(memory.buf[8:14]) == b"answer"
    finally:
        memory.close()
        memory.unlink()


file_sizes = st.shared(st.integers(1, 40), key="file")
asked = st.integers(-3, 60)


@given(file_sizes, st.data())
@settings(max_examples=300, deadline=None)
def test_a_region_is_a_slice_of_its_file(file_size: int, data: st.DataObject) -> None:
    """Against slices of a bytearray: the same bytes are read and written, or the request is refused."""
    content = bytearray(range(file_size))
    with posix_memory(content) as path, closing(Regions(enabled=True)) as regions:
        offset, size = data.draw(asked, "offset"), data.draw(asked, "byte_size")
        if offset < 0 or size <= 0 or offset + size > file_size:
            with pytest.raises(Malformed):
                regions.register("r", path.name, offset, size)
            assert regions.status() == []
            return
        regions.register("r", path.name, offset, size)
        for _ in range(3):
            start, length = data.draw(asked, "start"), data.draw(asked, "length")
            is_inside = start >= 0 and length >= 0 and start + length <= size
            there = slice(offset + start, offset + start + length)
            if not is_inside:
                with pytest.raises(Malformed, match=f"'r' has {size} bytes"):
                    regions.read("r", start, length)
            else:
                assert regions.read("r", start, length) == content[there]
            written = bytes([255]) * max(0, length)
            if start >= 0 and start + len(written) <= size:
                content[offset + start : offset + start + len(written)] = written
                regions.write("r", start, written)
            else:
                with pytest.raises(Malformed, match=f"'r' has {size} bytes"):
                    regions.write("r", start, written)
            assert path.read_bytes() == content


def test_a_file_that_was_shortened_is_an_error_and_not_the_end(regions: Regions, make: Make) -> None:
    path = make()
    regions.register("r", path.name, 0, SIZE)
    os.truncate(path, 100)
    assert len(regions.read("r", 0, 100)) == 100
    with pytest.raises(Malformed, match="its file was shortened and ends at byte 100"):
        regions.read("r", 0, 101)
    with pytest.raises(Malformed, match="its file has 100 bytes, asked were bytes up to 104"):
        regions.write("r", 100, b"four")
    assert path.stat().st_size == 100, "a write never lengthens the client's file"
    os.truncate(path, SIZE)
    assert regions.read("r", 0, SIZE)[100:] == bytes(SIZE - 100)


def test_calls_that_move_a_part_are_repeated_until_all_is_there(
    regions: Regions, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux moves two gigabytes a call at most."""
    path = make()
    regions.register("r", path.name, 0, SIZE)
    pread, pwrite = os.pread, os.pwrite
    monkeypatch.setattr(os, "pread", lambda file, size, at: pread(file, min(size, 7), at))
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: pwrite(file, data[:5], at))
    assert regions.read("r", 3, 100) == path.read_bytes()[3:103]
    regions.write("r", 50, bytes(range(100, 120)))
    assert path.read_bytes()[50:70] == bytes(range(100, 120))


def test_memory_that_takes_no_more_is_the_clients_fault(regions: Regions, make: Make) -> None:
    """As where /dev/shm is full; here the process may not write beyond byte 50."""
    path = make(bytes(100))
    regions.register("r", path.name, 0, 100)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, limits[1]))
    try:
        with pytest.raises(Malformed, match="region 'r' cannot be written: File too large"):
            regions.write("r", 40, b"x" * 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    regions.write("r", 40, b"y" * 20)
    assert path.read_bytes() == bytes(40) + b"y" * 20 + bytes(40)


def test_memory_that_is_unlinked_goes_on_and_its_name_means_nothing_any_more(regions: Regions, make: Make) -> None:
    path = make(b"first")
    regions.register("r", path.name, 0, 5)
    path.unlink()
    path.write_bytes(b"other")
    assert regions.read("r", 0, 5) == b"first"
    regions.write("r", 0, b"FIRST")
    assert path.read_bytes() == b"other"


def test_two_regions_of_one_file_stand_apart(regions: Regions, make: Make) -> None:
    path = make(b"leftright")
    regions.register("left", path.name, 0, 4)
    regions.register("right", path.name, 4, 5)
    regions.unregister("left")
    assert regions.read("right", 0, 5) == b"right"
    with pytest.raises(Malformed):
        regions.read("right", -4, 4)


def test_no_more_is_read_at_once_than_the_limit(make: Make) -> None:
    """A file without pages may claim any size."""
    path = make(b"")
    os.truncate(path, 1 << 40)
    regions = Regions(enabled=True, limit_bytes=1000)
    regions.register("r", path.name, 0, 1 << 40)
    assert regions.read("r", (1 << 40) - 1000, 1000) == bytes(1000)
    with pytest.raises(BodyTooLarge, match="1001 bytes of shared memory region 'r' are over the limit of 1000"):
        regions.read("r", 0, 1001)
    regions.close()


# --- names, keys, numbers


def test_a_name_stands_for_one_region_until_it_is_unregistered(regions: Regions, make: Make) -> None:
    one, two = make(b"one"), make(b"two")
    regions.register("r", one.name, 0, 3)
    with pytest.raises(Malformed, match="'r' is registered already: unregister it first"):
        regions.register("r", two.name, 0, 3)
    assert regions.read("r", 0, 3) == b"one"
    regions.unregister("r")
    with pytest.raises(RegionNotFound, match="unable to find shared memory region 'r': register it first"):
        regions.read("r", 0, 3)
    regions.register("r", two.name, 0, 3)
    assert regions.read("r", 0, 3) == b"two"


def test_the_status_lists_what_was_registered(regions: Regions, make: Make) -> None:
    key = f"/{make().name}"
    regions.register("a", key, 0, 10)
    regions.register("b", key, 10, 20)
    a = {"name": "a", "key": key, "offset": 0, "byte_size": 10}
    b = {"name": "b", "key": key, "offset": 10, "byte_size": 20}
    assert regions.status() == [a, b]
    assert regions.status("b") == [b]
    regions.unregister("unknown")
    assert regions.status() == [a, b]
    regions.unregister()
    assert regions.status() == []
    with pytest.raises(RegionNotFound):
        regions.status("b")


@pytest.mark.parametrize("slashes", ["", "/", "///"])
def test_a_key_is_read_as_shm_open_reads_it(regions: Regions, make: Make, slashes: str) -> None:
    regions.register("r", slashes + make().name, 0, 1)


@pytest.mark.parametrize(
    "key",
    [
        "", "/", "//", ".", "..", "/..", "../shm", "a/b", "/a/b", "/../etc/passwd", "../../etc/passwd", "a/", "a\0b",
        "\0", "/sem.lock", "sem.lock", "x" * 256, "/" * 70_000, "/" * 70_000 + "..",
    ],
)  # fmt: skip
def test_a_key_that_is_no_name_in_the_one_folder_is_refused(regions: Regions, key: str) -> None:
    with pytest.raises(Malformed, match="names no shared memory") as caught:
        regions.register("r", key, 0, 1)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("key", ["octet-test-none", "é" * 200, "half \ud800", "octet test\n"])
def test_a_key_without_memory_is_refused(regions: Regions, key: str) -> None:
    with pytest.raises(Malformed, match="cannot be opened"):
        regions.register("r", key, 0, 1)


def test_a_file_whose_name_is_no_text_has_no_key(regions: Regions) -> None:
    """Python would open `\\udc80` as the byte 80, and no page could tell of it."""
    path = b"/dev/shm/octet-test-\x80"
    os.close(os.open(path, os.O_CREAT | os.O_RDWR))
    try:
        with pytest.raises(Malformed, match="half a surrogate pair"):
            regions.register("r", "/octet-test-\udc80", 0, 1)
    finally:
        os.unlink(path)  # noqa: PTH108  a Path is text


def test_what_is_no_plain_file_is_refused_without_waiting(regions: Regions, make: Make) -> None:
    folder, pipe, link, target = make(), make(), make(), make()
    for path in (folder, pipe, link):
        path.unlink()
    folder.mkdir()
    os.mkfifo(pipe)
    link.symlink_to(target)
    try:
        for path in (folder, pipe, link):
            with pytest.raises(Malformed):
                regions.register("r", path.name, 0, 1)
    finally:
        folder.rmdir()
    assert open_memory() == []


@pytest.mark.parametrize("number", [2**31, 2**63 - 1, 2**63, 2**64, 10**400])
def test_huge_numbers_wrap_around_nowhere(regions: Regions, make: Make, number: int) -> None:
    path = make()
    for offset, size in ((number, 1), (0, number), (number, number), (SIZE - number, number)):
        with pytest.raises(Malformed):
            regions.register("r", path.name, offset, size)
    regions.register("r", path.name, 0, SIZE)
    for start, size in ((number, 1), (0, number), (number, number), (-number, number), (number, -number)):
        with pytest.raises(Malformed):
            regions.read("r", start, size)
    assert len(open_memory()) == 1


def test_names_are_bounded_and_messages_quote_no_more_than_helps(regions: Regions, make: Make) -> None:
    key = make().name
    regions.register("n" * 255, key, 0, 1)
    with pytest.raises(Malformed, match="at most 255 characters"):
        regions.register("n" * 256, key, 0, 1)
    with pytest.raises(RegionNotFound) as caught:
        regions.read("n" * 1_000_000, 0, 1)
    assert len(str(caught.value)) < 300
    with pytest.raises(RegionNotFound) as caught:
        regions.read("\ud800", 0, 1)
    assert text_for(caught.value)


def test_while_it_is_off_nothing_is_opened_read_or_told(make: Make) -> None:
    regions = Regions(enabled=False)
    path = make()
    for call in (
        lambda: regions.register("r", path.name, 0, 1),
        lambda: regions.read("r", 0, 1),
        lambda: regions.write("r", 0, b"x"),
        regions.status,
        regions.unregister,
    ):
        with pytest.raises(Unsupported, match="start the server with --shared-memory"):
            call()
    assert open_memory() == []


# --- descriptors


def test_as_many_regions_as_there_may_be_hold_as_many_files_and_let_go_of_all(regions: Regions, make: Make) -> None:
    path = make()
    for number in range(_MOST_REGIONS):
        regions.register(str(number), path.name, 0, 1)
    with pytest.raises(Malformed, match=f"{_MOST_REGIONS} shared memory regions are registered: unregister some"):
        regions.register("one more", path.name, 0, 1)
    assert open_memory() == [str(path)] * _MOST_REGIONS
    regions.unregister("7")
    assert len(open_memory()) == _MOST_REGIONS - 1
    regions.register("one more", path.name, 0, 1)
    regions.unregister()
    assert open_memory() == []
    regions.register("r", path.name, 0, 1)
    regions.close()
    assert open_memory() == []


def test_what_is_refused_leaves_no_file_open(regions: Regions, make: Make) -> None:
    path = make()
    for name, offset, size in (("r", 0, SIZE + 1), ("r", SIZE, 1), ("r", -1, 1), ("r", 0, 0)):
        with pytest.raises(Malformed):
            regions.register(name, path.name, offset, size)
    assert open_memory() == []


def test_a_read_in_a_thread_never_meets_another_file_whatever_is_unregistered_meanwhile(
    regions: Regions, make: Make
) -> None:
    """Each file is full of its own number, and a descriptor that was closed is the next file's."""
    size = 1 << 20
    paths = [make(bytes([number]) * size) for number in range(4)]
    was_read = threading.Semaphore(0)
    is_over = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        while not is_over.is_set():
            for number in range(len(paths)):
                with suppress(RegionNotFound):
                    found = set(regions.read(str(number), 0, size))
                    wrong.extend(found - {number})
                    was_read.release()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    for _ in range(25):
        for number, path in enumerate(paths):
            regions.register(str(number), path.name, 0, size)
            assert was_read.acquire(timeout=60)
            regions.unregister(str(number))  # while the next read of it may go on
    is_over.set()
    reader.join()
    assert wrong == []
    assert open_memory() == []


class Registry(RuleBasedStateMachine):
    """Registered names beside a dictionary, and exactly one open file for each."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = posix_memory(bytes(SIZE))
        self.path = self.memory.__enter__()
        self.regions = Regions(enabled=True)
        self.known: dict[str, tuple[int, int]] = {}

    @rule(name=st.sampled_from("abc"), offset=st.integers(-1, SIZE), size=st.integers(-1, SIZE))
    def register(self, name: str, offset: int, size: int) -> None:
        if name in self.known or offset < 0 or size <= 0 or offset + size > SIZE:
            with pytest.raises(Malformed):
                self.regions.register(name, self.path.name, offset, size)
        else:
            self.regions.register(name, self.path.name, offset, size)
            self.known[name] = offset, size

    @rule(name=st.sampled_from("abcd"))
    def unregister(self, name: str) -> None:
        self.regions.unregister(name)
        self.known.pop(name, None)

    @rule()
    def unregister_all(self) -> None:
        self.regions.unregister()
        self.known.clear()

    @invariant()
    def agree(self) -> None:
        listed = {one["name"]: (one["offset"], one["byte_size"]) for one in self.regions.status()}
        assert listed == self.known
        assert open_memory() == [str(self.path)] * len(self.known)

    def teardown(self) -> None:
        self.regions.close()
        self.memory.__exit__(None, None, None)
        assert open_memory() == []


TestRegistry = Registry.TestCase
TestRegistry.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
