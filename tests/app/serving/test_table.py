"""Which servable a request means."""

from collections.abc import Mapping

import pytest
from semver import Version

from app.errors import LabelNotFound, ModelNotFound, NotReady
from app.serving.lifecycle import State
from app.serving.servable import Servable
from app.serving.table import ServedModel, Table, VersionStatus
from tests.app.conftest import MakeServable

LOADED = ("0.9.0", "1.0.0", "1.2.3", "1.2.10", "1.10.0", "2.0.0-rc.1", "2.0.0-rc.2")


def model(make: MakeServable, *versions: str, statuses: tuple[VersionStatus, ...] = (), **labels: str) -> ServedModel:
    served = {Version.parse(version): make("m", version) for version in versions}
    return ServedModel("m", served, {label: served[Version.parse(v)] for label, v in labels.items()}, statuses)


def meant(found: Servable) -> str:
    return found.identity.version


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        (None, "1.10.0"),
        ("1", "1.10.0"),
        ("1.2", "1.2.10"),
        ("1.10", "1.10.0"),
        ("0", "0.9.0"),
        ("1.2.3", "1.2.3"),
        ("2.0.0-rc.1", "2.0.0-rc.1"),
        ("2.0.0-rc.2", "2.0.0-rc.2"),
    ],
)
async def test_a_version_is_exact_or_a_prefix_of_released_ones(
    make_servable: MakeServable, asked: str | None, version: str
) -> None:
    assert meant(model(make_servable, *LOADED).select(asked, None)) == version


ODD = ["", ".", "1.", "1.2.", "1.2.3.", "01", "1.02", "1.1", "1.2.30", "v1", "latest", "1.2.3+build", "١", "١.2.3"]
ABSENT = ["2", "2.0", "2.0.0", "2.0.0-rc", "3", "9" * 5000 + ".0.0"]


@pytest.mark.parametrize("asked", [*ODD, *ABSENT])
async def test_anything_else_is_no_version(make_servable: MakeServable, asked: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        model(make_servable, "1.2.3", "1.10.0", "2.0.0-rc.1").select(asked, None)
    assert str(caught.value) == f"model 'm' has no version '{asked}' here; served: 1.2.3, 1.10.0, 2.0.0-rc.1"


async def test_a_pre_release_answers_by_default_only_where_nothing_is_released(make_servable: MakeServable) -> None:
    assert meant(model(make_servable, "1.0.0-rc.1", "1.0.0-rc.2").select(None, None)) == "1.0.0-rc.2"
    assert meant(model(make_servable, "0.1.0", "1.0.0-rc.1").select(None, None)) == "0.1.0"


async def test_a_label_names_its_version_and_no_other(make_servable: MakeServable) -> None:
    labelled = model(make_servable, *LOADED, stable="1.0.0", canary="2.0.0-rc.1")
    assert meant(labelled.select(None, "stable")) == "1.0.0"
    assert meant(labelled.select(None, "canary")) == "2.0.0-rc.1"
    with pytest.raises(LabelNotFound) as caught:
        labelled.select(None, "Stable")
    assert str(caught.value) == "unrecognized version label 'Stable' of model 'm': it has canary, stable"
    with pytest.raises(LabelNotFound, match="it has none"):
        model(make_servable, "1.0.0").select(None, "stable")


@pytest.mark.parametrize("state", [State.START, State.LOADING])
async def test_a_version_that_is_coming_is_not_ready(make_servable: MakeServable, state: State) -> None:
    coming = (VersionStatus("2.0.0", state),)
    for asked in ("2.0.0", "2", "2.0"):
        with pytest.raises(NotReady, match=r"^model 'm' version 2\.0\.0 is loading: try again soon$"):
            model(make_servable, "1.0.0", statuses=coming).select(asked, None)
    none_yet = model(make_servable, statuses=coming)
    assert not none_yet.ready
    with pytest.raises(NotReady, match=r"^model 'm' is loading: try again soon$"):
        none_yet.select(None, None)


async def test_a_version_that_failed_says_why(make_servable: MakeServable) -> None:
    failed = (VersionStatus("2.0.0", State.END, "too large", failed=True),)
    both = model(make_servable, "1.0.0", statuses=failed)
    assert both.ready
    assert meant(both.select(None, None)) == "1.0.0"
    for asked in ("2.0.0", "2", "2.0"):
        with pytest.raises(ModelNotFound, match=r"^model 'm' version 2\.0\.0 could not be loaded: too large$"):
            both.select(asked, None)
    followed = (*failed, VersionStatus("2.1.0", State.LOADING))
    with pytest.raises(NotReady, match=r"version 2\.1\.0 is loading"):
        model(make_servable, "1.0.0", statuses=followed).select("2", None)
    with pytest.raises(NotReady, match=r"^model 'm' has no version that could be loaded: 2\.0\.0: too large$"):
        model(make_servable, statuses=failed).select(None, None)


async def test_models_are_found_without_regard_to_case_in_ascii(make_servable: MakeServable) -> None:
    table = Table()
    table.complete = True
    table.models = {"pick": model(make_servable, "1.0.0"), "straße": model(make_servable, "2.0.0")}
    assert meant(table.select("PiCK")) == "1.0.0"
    assert meant(table.select("straße", "2")) == "2.0.0"
    for other in ("pic\u212a", "STRASSE", "Straße", "p\u0131ck"):  # Kelvin's sign, an i without its dot
        with pytest.raises(ModelNotFound):
            table.select(other)


@pytest.mark.parametrize(("complete", "error"), [(False, NotReady), (True, ModelNotFound)])
async def test_an_unknown_model_may_still_come_while_the_server_starts(
    make_servable: MakeServable, complete: bool, error: type[Exception]
) -> None:
    table = Table()
    table.models = {"m": model(make_servable, "1.0.0")}
    table.complete = complete
    with pytest.raises(error) as caught:
        table.select("n")
    assert "model 'n'" in str(caught.value)
    assert ("served: m" in str(caught.value)) == complete


def test_an_empty_table_serves_none() -> None:
    table = Table()
    models: Mapping[str, ServedModel] = table.models
    assert not models
    table.complete = True
    with pytest.raises(ModelNotFound, match=r"^no model 'm' is served here; served: none$"):
        table.model("m")
