"""Which servable a version in one of TensorFlow Serving's URLs means."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from semver import Version

from app.errors import Malformed, ModelNotFound, NotReady
from app.protocols.tfserving_versions import VERSION, select
from app.serving.lifecycle import State
from app.serving.table import ServedModel, VersionStatus
from tests.app.conftest import MakeServable


def model(make: MakeServable, *versions: str, loading: tuple[str, ...] = ()) -> ServedModel:
    served = {Version.parse(version): make("m", version) for version in versions}
    statuses = [VersionStatus(version, State.AVAILABLE) for version in versions]
    statuses += [VersionStatus(version, State.LOADING) for version in loading]
    return ServedModel("m", served, {"stable": next(iter(served.values()))}, tuple(statuses))


@pytest.mark.parametrize(
    ("versions", "asked", "meant"),
    [
        (("1.0.0", "1.2.0", "2.0.0"), "0", "2.0.0"),
        (("1.0.0", "1.2.0", "2.0.0"), "1", "1.2.0"),
        (("1.0.0", "1.2.0", "2.0.0"), None, "2.0.0"),
        (("0.1.0", "0.2.0", "1.0.0"), "0", "0.2.0"),
        (("0.1.0", "0.2.0", "1.0.0"), "0.1", "0.1.0"),
        (("10.0.0", "9.0.0"), "10", "10.0.0"),
        (("1.0.0", "10.0.0"), "01", "1.0.0"),
        (("1.0.0", "10.0.0"), "0" * 5000 + "10", "10.0.0"),
        (("1.0.0", "10.0.0"), "00", "10.0.0"),
    ],
)
async def test_a_version_means_its_highest_release(
    make_servable: MakeServable, versions: tuple[str, ...], asked: str | None, meant: str
) -> None:
    assert select(model(make_servable, *versions), asked, None).identity.version == meant


async def test_version_0_is_no_other_while_one_of_that_number_is_known(make_servable: MakeServable) -> None:
    with pytest.raises(NotReady, match=r"version 0\.1\.0 is loading"):
        select(model(make_servable, "1.0.0", loading=("0.1.0",)), "0", None)
    for asked in ("0.0", "0.0.0"):
        with pytest.raises(ModelNotFound):
            select(model(make_servable, "1.0.0"), asked, None)


async def test_a_label_is_a_label(make_servable: MakeServable) -> None:
    assert select(model(make_servable, "1.0.0", "2.0.0"), None, "stable").identity.version == "1.0.0"


async def test_a_version_is_no_larger_than_64_bits(make_servable: MakeServable) -> None:
    served = model(make_servable, "1.0.0")
    with pytest.raises(ModelNotFound):
        select(served, str(2**63 - 1), None)
    for digits in (str(2**63), f"{2**64}.0.1", "9" * 5000):
        with pytest.raises(Malformed, match=f"^Failed to convert version: {digits[:100]} is no number of 64 bits$"):
            select(served, digits, None)


@given(st.from_regex(VERSION, fullmatch=True))
def test_what_is_a_version_begins_with_a_number(text: str) -> None:
    assert int(text.partition(".")[0][:20]) >= 0


@given(st.integers(0), st.integers(0), st.integers(0), st.from_regex(r"[0-9A-Za-z][0-9A-Za-z.-]*", fullmatch=True))
def test_every_version_and_prefix_is_one(major: int, minor: int, patch: int, prerelease: str) -> None:
    for text in (f"{major}", f"{major}.{minor}", f"{major}.{minor}.{patch}", f"{major}.{minor}.{patch}-{prerelease}"):
        assert re.fullmatch(VERSION, text)
