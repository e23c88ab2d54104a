"""Which batch sizes are prepared, and what a batch becomes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engines.tensorrt.buckets import bucket_of, buckets, fill

ENDS = st.tuples(st.integers(1, 300), st.integers(1, 300)).map(sorted)


def test_powers_of_two_and_both_ends() -> None:
    assert buckets(1, 1) == (1,)
    assert buckets(1, 8) == (1, 2, 4, 8)
    assert buckets(1, 12) == (1, 2, 4, 8, 12)
    assert buckets(3, 12) == (3, 4, 8, 12)
    assert buckets(5, 5) == (5,)


@given(ENDS, st.data())
def test_the_smallest_bucket_that_holds_the_rows_is_less_than_twice_as_large(
    ends: list[int], data: st.DataObject
) -> None:
    least, most = ends
    sizes = buckets(least, most)
    rows = data.draw(st.integers(1, most))
    size = bucket_of(rows, sizes)
    assert size >= rows
    assert all(other < rows for other in sizes if other < size)
    assert size < 2 * rows or size == least


@given(st.integers(1, 8), st.integers(0, 8))
def test_what_is_behind_the_rows_are_copies_of_the_last(rows: int, behind: int) -> None:
    sent = np.random.default_rng(rows).normal(size=(rows, 3))
    bucket = np.full((rows + behind, 3), np.nan)
    fill(bucket, sent)
    assert np.array_equal(bucket[:rows], sent)
    assert np.array_equal(bucket[rows:], np.repeat(sent[-1:], behind, 0))
