"""Shares of the cores: disjoint, even, all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cli.shares import Share, shares
from app.settings import SettingsError


@given(st.sets(st.integers(0, 500), min_size=1, max_size=64), st.data())
def test_every_core_has_one_process_and_shares_differ_by_one_at_most(processors: set[int], data: st.DataObject) -> None:
    cores = data.draw(st.integers(1, len(processors)))
    processes = data.draw(st.integers(1, cores))
    found = shares(processors, cores, processes)
    assert len(found) == processes
    assert [number for share in found for number in share.processors] == sorted(processors)
    assert sum(share.cores for share in found) == cores
    for sizes in ([len(share.processors) for share in found], [share.cores for share in found]):
        assert 1 <= min(sizes) <= max(sizes) <= min(sizes) + 1
    assert all(share.cores <= len(share.processors) for share in found)


@pytest.mark.parametrize(
    ("processors", "cores", "expected"),
    [
        pytest.param({0, 1}, 2, [Share((0,), 1), Share((1,), 1)], id="one each"),
        pytest.param({2, 4, 6, 8, 9}, 5, [Share((2, 4), 2), Share((6, 8, 9), 3)], id="an odd number"),
        pytest.param(set(range(8)), 3, [Share((0, 1, 2, 3), 1), Share((4, 5, 6, 7), 2)], id="a quota of three"),
    ],
)
def test_two_processes(processors: set[int], cores: int, expected: list[Share]) -> None:
    assert shares(processors, cores, 2) == expected


def test_more_processes_than_cores_are_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"processes is 3, and 2 cores may be used here; .* use --processes 2 or less"
    ):
        shares(range(8), 2, 3)
