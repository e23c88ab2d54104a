"""The one writer: all or nothing, and nothing forgotten."""

import fcntl
import os
from hashlib import sha256
from pathlib import Path

import pytest

from model_store import durable
from model_store.errors import StorageFailed


def test_a_written_file_is_whole_read_only_and_alone(tmp_path: Path) -> None:
    staging = tmp_path / "tmp"
    staging.mkdir()
    durable.write(tmp_path / "a", b"one", staging)
    durable.write(tmp_path / "a", b"two", staging)
    assert (tmp_path / "a").read_bytes() == b"two"
    assert (tmp_path / "a").stat().st_mode & 0o222 == 0
    assert list(staging.iterdir()) == []


def test_a_staged_file_knows_its_digest_and_goes_when_it_is_not_placed(tmp_path: Path) -> None:
    with durable.staged(tmp_path, [b"ab", b"", b"c"], 3) as file:
        assert (file.digest, file.bytes) == (sha256(b"abc").hexdigest(), 3)
        assert file.path.read_bytes() == b"abc"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("expected", [2, 4])
def test_another_length_than_expected_is_refused(tmp_path: Path, expected: int) -> None:
    with pytest.raises(StorageFailed, match="3 bytes came"), durable.staged(tmp_path, [b"abc"], expected):
        pass
    assert list(tmp_path.iterdir()) == []


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:2]))
    durable.write(tmp_path / "a", b"abcdefg", tmp_path)
    assert (tmp_path / "a").read_bytes() == b"abcdefg"


def test_the_order_is_write_sync_rename_sync_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    write, sync, replace = os.write, os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        steps.append("sync folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "sync file")  # noqa: PTH112
        sync(descriptor)

    monkeypatch.setattr(os, "write", lambda *a: steps.append("write") or write(*a))
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", lambda *a: steps.append("rename") or replace(*a))
    durable.write(tmp_path / "a", b"abc", tmp_path)
    assert steps == ["write", "sync file", "rename", "sync folder"]


def test_append_cuts_off_what_lies_behind(tmp_path: Path) -> None:
    path = tmp_path / "log"
    durable.append(path, b"one\ntw", at=0)
    durable.append(path, b"two\n", at=4)
    assert path.read_bytes() == b"one\ntwo\n"


def test_sweep_spares_what_a_living_writer_holds(tmp_path: Path) -> None:
    (tmp_path / "leftover").write_bytes(b"half")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"half")
    with durable.staged(tmp_path, [b"abc"], 3) as file, durable.staged_folder(tmp_path) as folder:
        assert durable.sweep(tmp_path) == 2
        assert set(tmp_path.iterdir()) == {file.path, folder}
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_is_swept_before_it_holds_its_file_makes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, swept = fcntl.flock, []

    def flock(descriptor: int, how: int) -> None:
        if not swept:
            swept.append(True)
            assert durable.sweep(tmp_path) == 1
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    durable.write(tmp_path / "a", b"abc", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_refusal_of_the_system_says_what_and_where(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match=r"cannot write into .*missing: No such file"):
        durable.write(tmp_path / "a", b"abc", tmp_path / "missing")
    assert not (tmp_path / "a").exists()
