"""What is remembered of variants that should serve and do not."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import structlog

from app.control.choice import Choice
from app.control.desired import Desired
from app.control.rungs import Engines
from app.metrics import Metrics
from app.serving.lifecycle import VersionKey
from app.settings import Settings
from engines.quantize.report import Speedup
from model_store.manifest import Metadata
from model_store.records import FileRecord, VariantRecord, VersionRecord
from tests.app.conftest import MakeServable

KEY = VersionKey("m", "1.0.0")
FP32 = VariantRecord("fp32", "onnxruntime", "d0", ())
INT8 = VariantRecord("int8", "onnxruntime", "d1", (), recipe={}, accurate=True, golden=FileRecord("golden.npz", "", 0))
FASTER = {KEY: {"int8": Speedup(2.0, 2.0, batched=True)}}


def holding(*variants: VariantRecord) -> Desired:
    record = VersionRecord("M", "1.0.0", "", {}, Metadata(), None, datetime.now(UTC), False, variants)
    return Desired({"m": "M"}, {KEY: record})


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def choosing(metrics: Metrics, variant: str = "auto") -> Choice:
    log = structlog.get_logger()
    return Choice(Settings(variant=variant), metrics, log, Engines(metrics, log, has_gpu=False))


def names(choice: Choice) -> list[str]:
    return [rung.variant.name for rung in choice.rungs(KEY)]


def test_a_refused_variant_has_no_rung_until_it_is_forgotten(metrics: Metrics) -> None:
    choice = choosing(metrics)
    choice.look(holding(FP32, INT8), FASTER)
    assert names(choice) == ["int8", "fp32"]
    choice.refuse(KEY, INT8, "parity", "it is too far")
    choice.refuse(KEY, INT8, "load", "once more")
    choice.look(holding(FP32, INT8), FASTER)
    assert names(choice) == ["fp32"]
    assert choice.notes(KEY) == ("variant int8 is refused: it is too far",)
    assert [status.refusal for status in choice.statuses(KEY, {})] == ["", "it is too far"]
    assert dict(metrics.variants_refused) == {("M", "1.0.0", "int8", "parity"): 1}
    choice.forget("other")
    assert names(choice) == ["fp32"]
    choice.forget("m")
    assert names(choice) == ["int8", "fp32"]


def test_another_artifact_of_the_name_has_its_own_chance(metrics: Metrics) -> None:
    choice = choosing(metrics)
    choice.look(holding(FP32, INT8), FASTER)
    choice.refuse(KEY, INT8, "load", "broken")
    another = replace(INT8, digest="d2")
    choice.look(holding(FP32, another), FASTER)
    assert (names(choice), choice.notes(KEY)) == (["int8", "fp32"], ())
    choice.refuse(KEY, INT8, "load", "what was tried is not there any more")
    assert (names(choice), choice.notes(KEY)) == (["int8", "fp32"], ())


def test_a_named_variant_that_is_missing_is_told_once_and_until_it_comes(metrics: Metrics) -> None:
    choice = choosing(metrics, "int8")
    for _ in range(2):
        choice.look(holding(FP32), {})
        choice.forget()
    assert (names(choice), len(choice.notes(KEY))) == (["fp32"], 1)
    choice.look(holding(FP32, replace(INT8, accurate=False)), {})
    assert (names(choice), choice.notes(KEY)) == (["fp32"], ("variant int8 is refused: its gate refused its answers",))
    assert dict(metrics.variants_refused) == {("M", "1.0.0", "int8", why): 1 for why in ("missing", "gate")}
    choice.look(holding(FP32, INT8), {})
    assert (names(choice), choice.notes(KEY)) == (["fp32"], ()), "it is to be measured"
    choice.look(holding(FP32, INT8), FASTER)
    assert (names(choice), choice.notes(KEY)) == (["int8", "fp32"], ())


def test_the_speed_of_this_host_decides_and_is_told_anew_when_it_was_measured_anew(metrics: Metrics) -> None:
    choice = choosing(metrics, "int8")
    for ratio, best, passed in ((0.9, "fp32", False), (2.0, "int8", True), (0.8, "fp32", False)):
        choice.look(holding(FP32, INT8), {KEY: {"int8": Speedup(ratio, 2.0, batched=True)}})
        assert names(choice)[0] == best
        (_, status) = choice.statuses(KEY, {})
        assert (status.passed, bool(status.refusal), bool(choice.notes(KEY))) == (passed, not passed, not passed)
    assert dict(metrics.variants_refused) == {("M", "1.0.0", "int8", "gate"): 2}


async def test_a_version_is_outdated_while_another_variant_than_the_best_answers(
    metrics: Metrics, make_servable: MakeServable
) -> None:
    choice, servables = choosing(metrics), {KEY: make_servable(digest="d0")}
    choice.look(holding(FP32, INT8), {})
    assert choice.outdated(servables) == set()
    assert [one.rung.variant.name for one in choice.unmeasured(servables)] == ["int8"]
    choice.look(holding(FP32, INT8), FASTER)
    assert choice.outdated(servables) == {KEY}
    assert not list(choice.unmeasured(servables))
    choice.refuse(KEY, INT8, "load", "broken")
    assert choice.outdated(servables) == set()
    choice.look(holding(replace(FP32, digest="d9")), {})
    assert choice.outdated(servables) == {KEY}, "other bytes have come under its name"
    choice.look(Desired(), {})
    assert (choice.outdated(servables), choice.statuses(KEY, {}), choice.notes(KEY)) == (set(), (), ())
