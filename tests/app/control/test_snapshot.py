"""The next table, from what is desired and what is there."""

from datetime import UTC, datetime

import pytest
from semver import Version

from app.control.desired import Desired
from app.control.snapshot import labels_answering, snapshot
from app.errors import ModelUnloaded
from app.serving.lifecycle import State, VersionKey
from app.serving.table import VersionStatus
from model_store.manifest import Metadata
from model_store.records import VersionRecord
from tests.app.conftest import MakeServable

OLD, NEW = VersionKey("digits", "9.0.0"), VersionKey("digits", "10.0.0")
STABLE = ("digits", "stable")


def wish(*keys: VersionKey, labels: dict[tuple[str, str], VersionKey] | None = None) -> Desired:
    def record(key: VersionKey) -> VersionRecord:
        return VersionRecord("Digits", key.version, "", {}, Metadata(), None, datetime.now(UTC), False, ())

    return Desired({key.model: "Digits" for key in keys}, {key: record(key) for key in keys}, labels or {})


async def test_a_label_waits_on_the_old_version_for_the_new_one(make_servable: MakeServable) -> None:
    servable = make_servable()
    moved = wish(OLD, NEW, labels={STABLE: NEW})
    assert labels_answering(moved, {}, {}) == {}
    assert labels_answering(moved, {}, {OLD: servable}) == {}, "a label never answers with a version it never named"
    assert labels_answering(moved, {STABLE: OLD}, {OLD: servable}) == {STABLE: OLD}
    assert labels_answering(moved, {STABLE: OLD}, {OLD: servable, NEW: servable}) == {STABLE: NEW}
    assert labels_answering(moved, {STABLE: OLD}, {}) == {}


async def test_a_label_that_was_taken_away_answers_no_more(make_servable: MakeServable) -> None:
    assert labels_answering(wish(OLD), {STABLE: OLD}, {OLD: make_servable()}) == {}


async def test_versions_ascend_and_statuses_descend_by_number(make_servable: MakeServable) -> None:
    old, new = make_servable("Digits", "9.0.0"), make_servable("Digits", "10.0.0", notes=("one", "two"))
    states = {OLD: State.AVAILABLE, NEW: State.AVAILABLE}
    models = snapshot(wish(NEW, OLD), states, {}, {NEW: new, OLD: old}, {STABLE: OLD, ("other", "stable"): NEW}, ())
    model = models["digits"]
    assert (list(models), model.name) == (["digits"], "Digits")
    assert list(model.versions) == [Version(9), Version(10)]
    assert model.default is new
    assert model.labels == {"stable": old}
    assert model.statuses == (
        VersionStatus("10.0.0", State.AVAILABLE, "one; two"),
        VersionStatus("9.0.0", State.AVAILABLE),
    )


async def test_what_is_coming_and_what_failed_is_told(make_servable: MakeServable) -> None:
    pending = VersionKey("digits", "11.0.0")
    states = {OLD: State.AVAILABLE, NEW: State.END}
    models = snapshot(wish(pending, NEW, OLD), states, {NEW: "too large"}, {OLD: make_servable()}, {}, ())
    assert models["digits"].statuses == (
        VersionStatus("11.0.0", State.START),
        VersionStatus("10.0.0", State.END, "too large", failed=True),
        VersionStatus("9.0.0", State.AVAILABLE),
    )


async def test_a_model_stays_while_something_of_it_is_there(make_servable: MakeServable) -> None:
    servable = make_servable("Digits", "9.0.0")
    models = snapshot(Desired(), {OLD: State.AVAILABLE}, {}, {OLD: servable}, {}, ())
    assert (models["digits"].name, models["digits"].default) == ("Digits", servable)
    assert snapshot(Desired(), {OLD: State.UNLOADING}, {}, {}, {}, ()) == {}


def test_a_model_that_is_not_published_yet_is_not_ready() -> None:
    (model,) = snapshot(Desired({"missing": "Missing"}), {}, {}, {}, {}, ()).values()
    assert (model.name, model.ready, model.statuses) == ("Missing", False, ())


async def test_an_unloaded_model_is_told_as_such_whatever_its_versions_do(make_servable: MakeServable) -> None:
    failed = VersionKey("digits", "11.0.0")
    states = {OLD: State.UNLOADING, NEW: State.AVAILABLE, failed: State.END}
    wished = wish(failed, NEW, OLD, VersionKey("digits", "8.0.0"), VersionKey("other", "1.0.0"))
    models = snapshot(wished, states, {failed: "too large"}, {}, {}, {"digits"})
    assert (models["digits"].unloaded, models["digits"].ready, models["other"].unloaded) == (True, False, False)
    assert models["digits"].statuses == (
        VersionStatus("11.0.0", State.END, "unloaded on request"),
        VersionStatus("10.0.0", State.UNLOADING, "unloaded on request"),
        VersionStatus("9.0.0", State.UNLOADING, "unloaded on request"),
        VersionStatus("8.0.0", State.END, "unloaded on request"),
    )
    for version, label in ((None, None), ("10", None), (None, "stable")):
        with pytest.raises(ModelUnloaded, match="/v2/repository/models/Digits/load"):
            models["digits"].select(version, label)
