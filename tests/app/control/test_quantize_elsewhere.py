"""A recipe that is made in another environment, within a run over a version in a real store."""

import os
import signal
from pathlib import Path

import pytest

from app.control import quantize
from app.control.publish import publish
from app.control.quantize import Quantizing, Tried, Wish
from app.lifespan import OPEN_ENGINES
from engines.quantize.gate import Limits
from engines.quantize.rows import RowsSpec
from model_store.manifest import Metadata
from model_store.store import Store
from tests.engines.quantize.tool_recipes import Away, set_up_environment

DIGITS = Path("examples/digits").resolve()


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files; there is an environment `here`."""
    return set_up_environment(tmp_path, monkeypatch)


def tried(store: Store, recipe: Away, monkeypatch: pytest.MonkeyPatch, *, kill: bool = False) -> Tried:
    """What came of the recipe on digits; the first thing that it does may end it."""
    monkeypatch.setattr(quantize, "RECIPES", (recipe,))
    record = publish(store, "digits", DIGITS / "digits.onnx", "1.0.0", metadata=Metadata()).record
    calibration, test = (RowsSpec(str(DIGITS / f"{part}.npz"), most_rows=40) for part in ("calibration", "test"))
    run = Quantizing(store, record, Wish(calibration, test, Limits(1.0), recipes=("away",)), OPEN_ENGINES)

    def told(name: str, what: str, done: float) -> None:
        if kill and what.startswith("process "):
            os.kill(int(what.removeprefix("process ")), signal.SIGKILL)

    (only,) = run.run(told)
    return only


def test_what_is_made_elsewhere_is_measured_and_stored(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    found = tried(store, Away(), monkeypatch)
    assert found.report is not None, found.why_not
    assert found.report.lineage.details["words"] == ["two", "words"]
    assert [variant.name for variant in store.resolve("digits").variants] == ["fp32", "away"]


def test_a_recipe_that_is_killed_leaves_nothing(store: Store, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = tried(store, Away("hangs"), monkeypatch, kill=True)
    assert found.report is None
    assert "ended by SIGKILL" in found.why_not
    assert [variant.name for variant in store.resolve("digits").variants] == ["fp32"]
    assert not list(scratch.iterdir())


def test_without_its_environment_it_is_skipped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    found = tried(store, Away(tool="nowhere"), monkeypatch)
    assert found.report is None
    assert found.why_not.startswith("skipped: it is made in an environment of its own")
