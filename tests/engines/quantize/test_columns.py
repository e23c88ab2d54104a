"""Rows that stream by in blocks: picked, joined and cut as if they lay in memory whole."""

from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engines.quantize.columns import Columns, choose, pick, rebatch

block_sizes = st.lists(st.integers(1, 9), max_size=8)


def blocks(sizes: list[int]) -> Iterator[Columns]:
    start = 0
    for size in sizes:
        yield {"x": np.arange(start, start + size), "labels": np.arange(start, start + size) * 2}
        start += size


@given(block_sizes, st.integers(1, 12))
def test_batches_hold_all_rows_in_order_and_only_the_last_is_short(sizes: list[int], rows: int) -> None:
    batches = list(rebatch(blocks(sizes), rows))
    assert [value for batch in batches for value in batch["x"].tolist()] == list(range(sum(sizes)))
    assert all((batch["labels"] == batch["x"] * 2).all() for batch in batches)
    assert all(len(batch["x"]) == rows for batch in batches[:-1])
    assert not batches or 1 <= len(batches[-1]["x"]) <= rows


@given(block_sizes, st.data())
def test_the_chosen_rows_are_picked(sizes: list[int], data: st.DataObject) -> None:
    chosen = sorted(data.draw(st.sets(st.sampled_from(range(sum(sizes))))) if sizes else [])
    picked = [value for block in pick(blocks(sizes), chosen) for value in block["x"].tolist()]
    assert picked == chosen


def test_nothing_is_read_behind_the_last_chosen_row() -> None:
    stream = blocks([2, 2, 2])
    assert [block["x"].tolist() for block in pick(stream, [1, 2])] == [[1], [2]]
    assert [block["x"].tolist() for block in stream] == [[4, 5]]


@given(st.integers(0, 50), st.integers(1, 60), st.integers(0, 9))
def test_a_choice_is_ascending_without_repeats_and_of_the_size_asked_for(count: int, most_rows: int, seed: int) -> None:
    chosen = list(choose(count, most_rows, seed))
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, most_rows)
    assert set(chosen) <= set(range(count))
