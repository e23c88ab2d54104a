"""Which variant serves, situation by situation."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from app.control.selection import ladder, unmeasured, why_not_named
from app.serving.variants import Speedup
from model_store.manifest import Metadata
from model_store.records import FileRecord, VariantRecord, VersionRecord

GOLDEN = FileRecord("golden.npz", "", 0)


def version(published: str = "fp32", **verdicts: bool | None) -> VersionRecord:
    """A version that was published as `published`, with variants of these verdicts."""
    variants = (
        VariantRecord(published, "onnxruntime", "", ()),
        *(
            VariantRecord(name, "onnxruntime", "", (), recipe={}, passed=passed, golden=GOLDEN)
            for name, passed in sorted(verdicts.items())
        ),
    )
    return VersionRecord("m", "1.0.0", "", {}, Metadata(), None, datetime.now(UTC), False, variants)


def speeds(**throughputs: float) -> dict[str, Speedup]:
    return {name: Speedup(ratio, 1.0, batched=True) for name, ratio in throughputs.items()}


THREE = version(int8=True, fp16=True, int4=False)


@pytest.mark.parametrize(
    ("why", "policy", "record", "measured", "names"),
    [
        ("nothing but what was published", "auto", version(), {}, ["fp32"]),
        ("nothing is measured here yet", "auto", THREE, {}, ["fp32"]),
        ("the fastest first", "auto", THREE, speeds(int8=3.0, fp16=1.2), ["int8", "fp16", "fp32"]),
        ("whatever their names", "auto", THREE, speeds(int8=1.1, fp16=1.2), ["fp16", "int8", "fp32"]),
        ("not one that is slower here", "auto", THREE, speeds(int8=3.0, fp16=0.9), ["int8", "fp32"]),
        ("as fast is fast enough", "auto", THREE, speeds(int8=1.0), ["int8", "fp32"]),
        ("nor one that is slower for a lone row", "auto", THREE, {"int8": Speedup(3.0, 0.99, True)}, ["fp32"]),
        ("nor one that the gate refused, however fast", "auto", THREE, speeds(int4=9.0), ["fp32"]),
        ("nor one that no gate has judged", "auto", version(int8=None), speeds(int8=9.0), ["fp32"]),
        ("a speed of what is not there means nothing", "auto", version(), speeds(int8=9.0), ["fp32"]),
        ("what was published, when that is asked for", "fp32", THREE, speeds(int8=3.0), ["fp32"]),
        ("under its own name", "mine", version("mine", int8=True), speeds(int8=3.0), ["mine"]),
        ("and by the word for it", "fp32", version("mine", int8=True), speeds(int8=3.0), ["mine"]),
        ("a named one, though another is faster", "fp16", THREE, speeds(int8=3.0), ["fp16", "int8", "fp32"]),
        ("a named one, though it is slow here", "fp16", THREE, speeds(fp16=0.5), ["fp16", "fp32"]),
        ("a named one, though it was not measured", "int8", THREE, {}, ["int8", "fp32"]),
        ("a named one that the gate refused", "int4", THREE, speeds(int8=3.0, int4=9.0), ["int8", "fp32"]),
        ("a named one that is not there", "bf16", THREE, speeds(int8=3.0), ["int8", "fp32"]),
    ],
)
def test_ladder(
    why: str, policy: str, record: VersionRecord, measured: Mapping[str, Speedup], names: list[str]
) -> None:
    assert [variant.name for variant in ladder(policy, record, measured)] == names, why


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("auto", None),
        ("fp32", None),
        ("int8", None),
        ("int4", ("gate", "its gate refused it")),
        ("odd", ("gate", "no gate has judged it")),
        ("bf16", ("missing", "the version has no variant 'bf16', only fp32, int4, int8, odd")),
    ],
)
def test_why_a_named_variant_does_not_serve(policy: str, expected: tuple[str, str] | None) -> None:
    assert why_not_named(policy, version(int4=False, int8=True, odd=None)) == expected


@pytest.mark.parametrize(("policy", "names"), [("auto", ["fp16"]), ("fp32", []), ("int8", []), ("fp16", [])])
def test_what_is_to_be_measured_is_what_could_serve(policy: str, names: list[str]) -> None:
    assert [variant.name for variant in unmeasured(policy, THREE, speeds(int8=0.5))] == names
