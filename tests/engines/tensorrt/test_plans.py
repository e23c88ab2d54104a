"""The cache of plans: what its key depends on, and what is found, kept and pruned."""

import errno
import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import LoadError
from engines.tensorrt.build import PLAN, TIMINGS, Bounds, BuildSettings, Facts
from engines.tensorrt.digest import digest_of, onnx_digest
from engines.tensorrt.plans import Made, Plan, Plans, Target
from tests import graphs

TARGET = Target("tensorrt", "11.4.0.106", "NVIDIA H200", "90", "13.0")
MADE = Made("a" * 64, BuildSettings(), TARGET)
FACTS = Facts(1.5, 2, {"product": "int8"})

SETTINGS = st.builds(
    BuildSettings,
    rows=st.builds(Bounds, *[st.integers(1, 4)] * 3),
    lengths=st.none() | st.builds(Bounds, *[st.integers(1, 4)] * 3),
    workspace_bytes=st.integers(1, 4),
    optimization_level=st.integers(0, 5),
    tf32=st.booleans(),
)
TARGETS = st.builds(Target, *[st.sampled_from(["a", "b", "none"])] * 5)
MADES = st.builds(Made, st.sampled_from(["a", "b"]), SETTINGS, TARGETS)


@given(MADES, MADES)
def test_two_plans_have_the_same_key_exactly_when_all_they_are_made_of_is_the_same(one: Made, other: Made) -> None:
    assert (one.key == other.key) == (one == other)


@pytest.mark.parametrize(
    "other",
    [
        replace(MADE, onnx="b" * 64),
        *(replace(MADE, settings=replace(MADE.settings, **{name: value})) for name, value in [
            ("rows", Bounds(1, 16, 32)),
            ("lengths", Bounds(1, 1, 1)),
            ("workspace_bytes", 1),
            ("optimization_level", 4),
            ("tf32", False),
        ]),
        *(replace(MADE, target=replace(TARGET, **{name: "other"})) for name in TARGET.__slots__),
    ],
    ids=str,
)  # fmt: skip
def test_each_ingredient_changes_the_key(other: Made) -> None:
    assert other.key != MADE.key


def test_every_ingredient_is_among_those() -> None:
    assert set(BuildSettings.__slots__) == {"rows", "lengths", "workspace_bytes", "optimization_level", "tf32"}
    assert set(Made.__slots__) == {"onnx", "settings", "target"}


@given(MADES)
def test_a_sidecar_tells_all_that_a_plan_is_made_of(made: Made) -> None:
    assert Made.from_json(json.loads(json.dumps(asdict(made)))) == made


def test_the_digest_of_a_model_changes_with_any_byte_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(12))
    graphs.with_external(tmp_path / "model.onnx", "w.bin")
    digests = {onnx_digest(tmp_path / "model.onnx")}
    (tmp_path / "w.bin").write_bytes(bytes(11) + b"\1")
    digests.add(onnx_digest(tmp_path / "model.onnx"))
    graphs.with_external(tmp_path / "model.onnx", "w.bin", length="12")
    digests.add(onnx_digest(tmp_path / "model.onnx"))
    assert len(digests) == 3


def test_the_digest_of_a_model_is_that_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(12))
    graphs.with_external(tmp_path / "model.onnx", "w.bin")
    files = {name: sha256((tmp_path / (name or "model.onnx")).read_bytes()).hexdigest() for name in ("", "w.bin")}
    assert onnx_digest(tmp_path / "model.onnx") == digest_of(files)


@pytest.fixture
def plans(tmp_path: Path) -> Plans:
    return Plans(tmp_path / "cache" / "plans")


def keep(plans: Plans, made: Made = MADE, content: bytes = b"a plan", at: int = 0) -> Plan:
    """`at` orders plans by age."""
    with plans.building() as folder:
        (folder / PLAN).write_bytes(content)
        (folder / TIMINGS).write_bytes(b"times")
        plan = plans.keep(made, folder, FACTS)
    os.utime(plan.path, (at, at))
    return plan


def names(plans: Plans) -> set[str]:
    return {path.name for path in plans.folder.iterdir()}


def test_what_is_kept_is_found_again(plans: Plans) -> None:
    assert plans.find(MADE) is None
    assert plans.all() == []
    kept = keep(plans)
    assert plans.find(MADE) == kept
    assert kept.path.read_bytes() == b"a plan"
    assert (kept.bytes, kept.facts) == (6, FACTS)
    assert plans.all() == [kept]
    assert plans.timings(TARGET).read_bytes() == b"times"
    assert names(plans) == {f"{MADE.key}.plan", f"{MADE.key}.json", plans.timings(TARGET).name, "lock"}


def test_a_plan_that_is_kept_anew_replaces_the_old_one(plans: Plans) -> None:
    keep(plans)
    again = keep(plans, content=b"built again")
    assert plans.find(MADE) == again
    assert again.path.read_bytes() == b"built again"


def test_another_plan_is_not_taken_for_it(plans: Plans) -> None:
    keep(plans)
    assert plans.find(replace(MADE, onnx="b" * 64)) is None


def spoil_plan(plan: Plan) -> None:
    plan.path.write_bytes(b"a plAn")


def cut_plan(plan: Plan) -> None:
    plan.path.write_bytes(b"a pla")


def lose_plan(plan: Plan) -> None:
    plan.path.unlink()


def spoil_sidecar(plan: Plan) -> None:
    plan.path.with_suffix(".json").write_bytes(b"\xff{")


def lose_sidecar(plan: Plan) -> None:
    plan.path.with_suffix(".json").unlink()


def forget_digest(plan: Plan) -> None:
    sidecar = plan.path.with_suffix(".json")
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "digest": None}))


def forget_facts(plan: Plan) -> None:
    sidecar = plan.path.with_suffix(".json")
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "facts": {}}))


def make_it_a_list(plan: Plan) -> None:
    plan.path.with_suffix(".json").write_text("[1]")


def take_that_of_another(plan: Plan) -> None:
    sidecar = plan.path.with_suffix(".json")
    record = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**record, "target": {**record["target"], "driver": "12.0"}}))


@pytest.mark.parametrize(
    "harm",
    [
        spoil_plan, cut_plan, lose_plan, spoil_sidecar, lose_sidecar, forget_digest, forget_facts, make_it_a_list,
        take_that_of_another,
    ],
)  # fmt: skip
def test_what_is_not_whole_is_not_found_and_can_be_kept_again(plans: Plans, harm: Callable[[Plan], None]) -> None:
    harm(keep(plans))
    assert plans.find(MADE) is None
    again = keep(plans)
    assert plans.find(MADE) == again


def test_a_build_that_fails_leaves_nothing(plans: Plans) -> None:
    def fail() -> None:
        with plans.building() as folder:
            (folder / PLAN).write_bytes(b"half a pl")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert names(plans) == {"lock"}


def test_what_a_killed_builder_left_is_gone_when_the_next_one_builds(plans: Plans) -> None:
    (plans.folder / "building-left").mkdir(parents=True)
    keep(plans)
    assert "building-left" not in names(plans)


def test_where_nothing_can_be_kept_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(
        LoadError, match=r"plans cannot be kept in .*cache/plans: Not a directory; let the server write"
    ):
        keep(Plans(tmp_path / "cache" / "plans"))


def test_a_disk_that_is_full_when_a_build_begins_is_said(plans: Plans, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("engines.tensorrt.plans.TemporaryDirectory", full)
    with pytest.raises(LoadError, match=r"plans cannot be kept in .*: No space left on device; .* and have room"):
        keep(plans)


def test_a_plan_that_is_pruned_while_it_is_looked_at_is_not_there(
    plans: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Plans._told

    def pruned(self: Plans, sidecar: Path) -> Plan | None:
        plan = told(self, sidecar)
        kept.path.unlink()
        return plan

    kept = keep(plans)
    monkeypatch.setattr(Plans, "_told", pruned)
    assert plans.find(MADE) is None


def test_pruning_keeps_what_a_version_needs_and_the_newest_of_each_purpose(plans: Plans) -> None:
    newer = replace(MADE, target=replace(TARGET, version="11.5", driver="13.1"))
    elsewhere = replace(MADE, target=replace(TARGET, device="NVIDIA L4", sm="89"))
    smaller = replace(MADE, settings=BuildSettings(rows=Bounds(1, 8, 8)))
    gone = replace(MADE, onnx="b" * 64)
    old, new, gone_plan, other, small = (
        keep(plans, made, at=at) for at, made in enumerate((MADE, newer, gone, elsewhere, smaller))
    )
    (plans.folder / f"{'c' * 64}.plan").write_bytes(b"nobody vouches for it")
    (plans.folder / "building-left").mkdir()
    assert sorted(map(str, plans.prune({MADE.onnx}))) == sorted(map(str, (old, gone_plan)))
    assert {plan.path for plan in plans.all()} == {new.path, other.path, small.path}
    assert [plans.find(plan.made) for plan in (new, other, small)] == [new, other, small]
    assert not {f"{'c' * 64}.plan", "building-left", f"{MADE.key}.plan", f"{MADE.key}.json"} & names(plans)
    assert plans.timings(newer.target).exists()


def test_pruning_what_was_never_there_is_nothing(plans: Plans) -> None:
    assert plans.prune({MADE.onnx}) == []
    assert not plans.folder.exists()
