"""What may be a name, and what never reaches a path."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store import names
from model_store.errors import InvalidName


@pytest.mark.parametrize("name", ["a", "A", "0", "digits", "ResNet-50.v1_x", "a..", "a" * 128])
def test_good_model_names(name: str) -> None:
    assert names.check_model(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".a", "-a", "_a", "a/b", "a\\b", "a b", "a\n", "a\0", "é", "١", "a" * 129, "../a",
     "a/", "stats", "Stats"],
)  # fmt: skip
def test_bad_model_names(name: str) -> None:
    with pytest.raises(InvalidName):
        names.check_model(name)


def test_a_taken_name_is_refused_with_the_reason() -> None:
    with pytest.raises(InvalidName, match="/v2/models/stats is a path of the Open Inference Protocol"):
        names.check_model("stats")


@pytest.mark.parametrize("label", ["", "a-b", "a.b", "a" * 65, "stable\n", "ä"])
def test_bad_labels(label: str) -> None:
    with pytest.raises(InvalidName):
        names.check_label(label)


@pytest.mark.parametrize("variant", ["", "FP32", "../x", "a/b", "-a", "fp32\n"])
def test_bad_variants(variant: str) -> None:
    with pytest.raises(InvalidName):
        names.check_variant(variant)


@pytest.mark.parametrize("key", ["", "/", "a/", "/a", "a//b", "../a", "a/../b", ".a", "a\n", "/".join("abcdefghi")])
def test_bad_cache_keys(key: str) -> None:
    with pytest.raises(InvalidName):
        names.check_cache_key(key)


@pytest.mark.parametrize("file", ["weights.bin", "deep/er/weights.bin", "with blank", "wägt", "..a", "a..b/c"])
def test_good_external_files(file: str) -> None:
    names.check_files(["model.onnx", file, "other"])


@pytest.mark.parametrize(
    "file",
    ["", ".", "..", "../a", "/a", "a/", "a//b", "a/./b", "a/../b", "a\\b", "a\0", "a\n", "x" * 256, "ab/" * 400 + "c"],
)
def test_external_files_that_leave_the_folder_or_confuse(file: str) -> None:
    with pytest.raises(InvalidName):
        names.check_files(["model.onnx", file])


@pytest.mark.parametrize("external", [["model.onnx"], ["a", "a"], ["model.onnx/a"], ["a", "a/b"], ["a/b/c", "a/b"]])
def test_external_files_that_stand_in_each_others_way(external: list[str]) -> None:
    with pytest.raises(InvalidName, match="has the name of another file"):
        names.check_files(["model.onnx", *external])


@given(st.text())
def test_a_name_that_passes_is_one_plain_component(name: str) -> None:
    try:
        names.check_model(name)
    except InvalidName:
        return
    assert name.isascii()
    assert not set("/\\\n\0") & set(name)
    assert not name.startswith(".")
