"""The order of versions and what a prefix means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store import versions
from model_store.errors import InvalidVersion

NUMBERS = st.integers(0, 12)
RELEASED = st.builds("{}.{}.{}".format, NUMBERS, NUMBERS, NUMBERS)
ANY = st.builds(lambda v, p: f"{v}{p}", RELEASED, st.sampled_from(["", "-rc.1", "-rc.2", "-0"]))


@pytest.mark.parametrize("text", ["1.2.3", "0.0.0", "1.0.0-rc.1", "10.20.30-a.b-c.0"])
def test_versions(text: str) -> None:
    assert str(versions.parse(text)) == text
    assert versions.is_exact(text)


@pytest.mark.parametrize("text", ["", "1.2.3.4", "v1.2.3", "01.2.3", "1.2.3-01", "1.2.3\n", "1.2.3 ", "١.2.3", "1.2.x",
                                  "../1.0.0", "1.0.0-" + "a" * 200])  # fmt: skip
def test_no_versions(text: str) -> None:
    with pytest.raises(InvalidVersion):
        versions.parse(text)
    with pytest.raises(InvalidVersion):
        versions.is_exact(text)


def test_build_metadata_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidVersion, match=r"Publish as 1\.2\.3 or"):
        versions.parse("1.2.3+cpu")


@pytest.mark.parametrize("prefix", ["0", "1", "12", "1.2", "0.10"])
def test_prefixes(prefix: str) -> None:
    assert not versions.is_exact(prefix)


@pytest.mark.parametrize("text", ["01", "1.", ".1", "1.02", "-1", "1\n", "1.2\n"])
def test_no_prefixes(text: str) -> None:
    with pytest.raises(InvalidVersion, match="A prefix"):
        versions.is_exact(text)


@pytest.mark.parametrize(
    ("prefix", "highest"),
    [(None, "10.0.0"), ("1", "1.10.0"), ("1.2", "1.2.0"), ("9", None), ("1.3", None), ("2", None)],
)
def test_highest_released(prefix: str | None, highest: str | None) -> None:
    known = ["1.10.0", "1.9.0", "1.2.0", "1.2.1-rc.1", "10.0.0", "11.0.0-rc.1", "2.0.0-a"]
    assert versions.highest_released(known, prefix) == highest


def test_ascending() -> None:
    assert versions.ascending(["10.0.0", "10.0.0-rc.10", "9.0.0", "10.0.0-rc.9"]) == [
        "9.0.0", "10.0.0-rc.9", "10.0.0-rc.10", "10.0.0",
    ]  # fmt: skip


@given(st.sets(ANY), ANY)
def test_the_predecessor_is_the_nearest_release_below(known: set[str], version: str) -> None:
    found = versions.predecessor(known, version)
    below = [v for v in known if "-" not in v and versions.parse(v) < versions.parse(version)]
    assert found == (versions.ascending(below)[-1] if below else None)


@pytest.mark.parametrize(
    ("before", "after", "keeps"), [("1.0.0", "1.0.1", True), ("1.0.0", "1.9.0-rc.1", True), ("1.9.9", "2.0.0", False)]
)
def test_minor_and_patch_keep_the_contract(before: str, after: str, keeps: bool) -> None:
    assert versions.keeps_contract(before, after) is keeps
