"""Which variant serves, situation by situation."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.control.selection import ladder, unmeasured, verdict, why_not, why_not_named
from engines.quantize.report import Speedup
from model_store.manifest import Metadata
from model_store.records import FileRecord, VariantRecord, VersionRecord

GOLDEN = FileRecord("golden.npz", "", 0)


def variant(name: str, *, accurate: bool | None = True, min_speedup: float = 1.0) -> VariantRecord:
    return VariantRecord(
        name, "onnxruntime", "", (), recipe={}, accurate=accurate, min_speedup=min_speedup, golden=GOLDEN
    )


def version(*variants: VariantRecord, published: str = "fp32") -> VersionRecord:
    """A version that was published as `published`, with these variants."""
    all_variants = (VariantRecord(published, "onnxruntime", "", ()), *variants)
    return VersionRecord("m", "1.0.0", "", {}, Metadata(), None, datetime.now(UTC), False, all_variants)


def speeds(**throughputs: float) -> dict[str, Speedup]:
    return {name: Speedup(ratio, 1.0, batched=True) for name, ratio in throughputs.items()}


def alike(ratio: float) -> Speedup:
    return Speedup(ratio, ratio, batched=True)


INT8, FP16, INT4, ODD = variant("int8"), variant("fp16"), variant("int4", accurate=False), variant("odd", accurate=None)
SMALL = variant("small", min_speedup=0.5)
KEEN = variant("keen", min_speedup=2.0)
THREE = version(FP16, INT4, INT8)
MINE = version(INT8, published="mine")


@pytest.mark.parametrize(
    ("why", "judged", "speed", "passed", "words"),
    [
        ("fast enough here", INT8, alike(1.5), True, ""),
        ("as fast is fast enough", INT8, alike(1.0), True, ""),
        ("slower here, whatever it was elsewhere", INT8, alike(0.99), False, "0.99 times as fast as its source here"),
        ("slower for a lone row", INT8, Speedup(3.0, 0.9, True), False, "0.90 times as fast"),
        ("slower at full load", INT8, Speedup(0.9, 3.0, True), False, "0.90 times as fast"),
        ("not measured here yet", INT8, None, None, ""),
        ("and cannot be", replace(INT8, golden=None), None, None, "has no golden rows"),
        ("slower, as was allowed", SMALL, alike(0.5), True, ""),
        ("fast, not as fast as was asked", KEEN, alike(1.9), False, "at least 2.00 are asked"),
        ("answers refused, however fast", INT4, alike(9.0), False, "its gate refused its answers"),
        ("answers refused, wherever", INT4, None, False, "its gate refused its answers"),
        ("never judged", ODD, alike(9.0), None, "no gate has judged it"),
    ],
)
def test_the_gate_here(why: str, judged: VariantRecord, speed: Speedup | None, passed: bool | None, words: str) -> None:
    assert verdict(judged, speed) is passed, why
    found = why_not(judged, speed)
    assert words in found
    assert bool(words) == bool(found)


@pytest.mark.parametrize(
    ("why", "policy", "record", "measured", "names"),
    [
        ("nothing but what was published", "auto", version(), {}, ["fp32"]),
        ("nothing is measured here yet", "auto", THREE, {}, ["fp32"]),
        ("the fastest first", "auto", THREE, speeds(int8=3.0, fp16=1.2), ["int8", "fp16", "fp32"]),
        ("whatever their names", "auto", THREE, speeds(int8=1.1, fp16=1.2), ["fp16", "int8", "fp32"]),
        ("not one that is slower here", "auto", THREE, speeds(int8=3.0, fp16=0.9), ["int8", "fp32"]),
        ("nor one that is slower for a lone row", "auto", THREE, {"int8": Speedup(3.0, 0.99, True)}, ["fp32"]),
        ("nor one that may be slower, and is", "auto", version(SMALL), speeds(small=0.9), ["fp32"]),
        ("nor one that is not as fast as was asked", "auto", version(KEEN), {"keen": alike(1.5)}, ["fp32"]),
        ("nor one whose answers the gate refused, however fast", "auto", THREE, speeds(int4=9.0), ["fp32"]),
        ("nor one that no gate has judged", "auto", version(ODD), speeds(odd=9.0), ["fp32"]),
        ("a speed of what is not there means nothing", "auto", version(), speeds(int8=9.0), ["fp32"]),
        ("what was published, when that is asked for", "fp32", THREE, speeds(int8=3.0), ["fp32"]),
        ("under its own name", "mine", MINE, speeds(int8=3.0), ["mine"]),
        ("and by the word for it", "fp32", MINE, speeds(int8=3.0), ["mine"]),
        ("a named one, though another is faster", "fp16", THREE, speeds(int8=3.0, fp16=1.0), ["fp16", "int8", "fp32"]),
        (
            "a named one that is slower here, as was allowed",
            "small",
            version(SMALL),
            speeds(small=0.6),
            ["small", "fp32"],
        ),
        ("not a named one that is slower here", "fp16", THREE, speeds(int8=3.0, fp16=0.9), ["int8", "fp32"]),
        ("nor one that is not measured here yet", "int8", THREE, {}, ["fp32"]),
        ("nor one that the gate refused", "int4", THREE, speeds(int8=3.0, int4=9.0), ["int8", "fp32"]),
        ("a named one that is not there", "bf16", THREE, speeds(int8=3.0), ["int8", "fp32"]),
    ],
)
def test_ladder(
    why: str, policy: str, record: VersionRecord, measured: Mapping[str, Speedup], names: list[str]
) -> None:
    assert [one.name for one in ladder(policy, record, measured)] == names, why


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("auto", None),
        ("fp32", None),
        ("int8", None),
        ("fp16", None),
        ("int4", ("gate", "its gate refused its answers")),
        ("odd", ("gate", "no gate has judged it")),
        ("keen", ("gate", "it is 1.00 times as fast as its source here, at least 2.00 are asked")),
        ("bf16", ("missing", "the version has no variant 'bf16', only fp32, fp16, int4, int8, keen, odd")),
    ],
)
def test_why_a_named_variant_does_not_serve(policy: str, expected: tuple[str, str] | None) -> None:
    record = version(FP16, INT4, INT8, KEEN, ODD)
    assert why_not_named(policy, record, speeds(int8=1.0, keen=9.0)) == expected


@pytest.mark.parametrize(
    ("policy", "names"), [("auto", ["fp16", "keen"]), ("fp32", ["fp16", "keen"]), ("keen", ["keen", "fp16"])]
)
def test_what_is_to_be_measured_is_what_could_serve_the_named_one_first(policy: str, names: list[str]) -> None:
    record = version(FP16, INT4, INT8, KEEN, ODD, replace(SMALL, golden=None))
    assert [one.name for one in unmeasured(policy, record, speeds(int8=0.5))] == names
