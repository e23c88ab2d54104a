"""The journal: append-only, whole lines only, and what it comes to."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store import journal
from model_store.errors import Corrupt
from model_store.journal import Entry


def entry(seq: int, action: journal.Action = "label", version: str = "1.0.0", label: str | None = "stable") -> Entry:
    return Entry(seq=seq, at=datetime(2025, 1, 1, tzinfo=UTC), action=action, version=version, label=label)


def test_what_was_appended_is_read(tmp_path: Path) -> None:
    path = tmp_path / "digits.jsonl"
    assert journal.read(path) == []
    journal.append(path, [entry(1), entry(2)])
    journal.append(path, [entry(3)])
    assert journal.read(path) == [entry(1), entry(2), entry(3)]


def test_entries_that_are_there_are_not_appended_again(tmp_path: Path) -> None:
    path = tmp_path / "digits.jsonl"
    journal.append(path, [entry(1)])
    journal.append(path, [entry(1), entry(2)])
    before = path.read_bytes()
    journal.append(path, [entry(1), entry(2)])
    assert path.read_bytes() == before


@given(data=st.data())
def test_a_torn_last_line_does_not_count_and_is_cut_off(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("journal") / "digits.jsonl"
    journal.append(path, [entry(1), entry(2)])
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    cut = data.draw(st.integers(first, len(whole) - 1))
    path.write_bytes(whole[:cut])
    assert journal.read(path) == [entry(1)]
    journal.append(path, [entry(2)])
    assert path.read_bytes() == whole


@pytest.mark.parametrize("damage", [b"", b"{}", b"\0\0\0", b'{"seq": 1'])
def test_a_damaged_line_in_the_middle_is_corrupt(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "digits.jsonl"
    journal.append(path, [entry(1), entry(2), entry(3)])
    lines = path.read_bytes().splitlines()
    lines[1] = damage
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(Corrupt, match="line 2 is not entry 2"):
        journal.read(path)


def test_a_missing_line_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "digits.jsonl"
    journal.append(path, [entry(1), entry(2), entry(3)])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])
    with pytest.raises(Corrupt, match="line 2 is not entry 2"):
        journal.read(path)


def test_the_fold() -> None:
    state = journal.fold([
        entry(1, "publish", "1.0.0", None),
        entry(2, "label", "1.0.0", "stable"),
        entry(3, "label", "1.0.0", "canary"),
        entry(4, "label", "2.0.0", "stable"),
        entry(5, "unlabel", "1.0.0", "canary"),
        entry(6, "retire", "1.0.0", None),
    ])  # fmt: skip
    assert state.labels == {"stable": "2.0.0"}
    assert state.retired == {"1.0.0"}
