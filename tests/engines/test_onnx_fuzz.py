"""Any bytes whatever: a model or a ModelFileError, and nothing else."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper

from engines.errors import ModelFileError
from engines.onnx_file import read_onnx
from engines.signature import NUMPY_DTYPES
from tests.graphs import identity, model, node, value, with_external


def rich() -> ModelProto:
    """A model with a bit of everything: a branch, a function, constants, quantized weights."""
    branches = {
        name: helper.make_graph([node("Neg", ["h"], [out])], name, [], [value(out, "float32", None)])
        for name, out in (("then_branch", "a"), ("else_branch", "b"))
    }
    square = helper.make_function(
        "ours", "Square", ["v"], ["w"], [node("Mul", ["v", "v"], ["w"])], [helper.make_opsetid("", 21)]
    )
    constant = helper.make_tensor("k", 1, [4], [1, 2, 3, 4])
    return model(
        [
            node("DequantizeLinear", ["q", "s"], ["d"]),
            node("Conv", ["x", "d"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1]),
            node("Square", ["c"], ["g"], domain="ours"),
            node("Reshape", ["g", "r"], ["h"], allowzero=0),
            node("If", ["t"], ["i"], **branches),
            node("Constant", [], ["k"], value=constant),
            node("Split", ["k"], ["k1", "k2"], num_outputs=2),
            node("Add", ["i", "k1"], ["y"]),
        ],
        [value("x", "float32", ["N", 1, 4, 4]), value("t", "bool", [])],
        [value("y", "float32", ["M", 2]), value("k2", "float32", [2])],
        {"q": np.ones((2, 1, 3, 3), np.int8), "s": np.array(0.5, np.float32), "r": np.array([-1, 2], np.int64)},
        opsets={"ours": 1},
        functions=[square],
    )


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Good files, the one with external data beside the place where the tests write theirs."""
    external = with_external(tmp_path_factory.mktemp("seed") / "model.onnx", "w", offset="0", length="12")
    return [rich().SerializeToString(), identity("string", ["N", 2]).SerializeToString(), external.SerializeToString()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "w").write_bytes(bytes(12))
    return folder


def judge(content: bytes, folder: Path) -> None:
    path = folder / "model.onnx"
    path.write_bytes(content)
    try:
        read = read_onnx(path)
    except ModelFileError:
        return
    assert read.signature.inputs
    assert read.signature.outputs
    assert {spec.dtype for spec in (*read.signature.inputs, *read.signature.outputs)} <= NUMPY_DTYPES.keys()
    assert all(isinstance(spec.name, str) for spec in (*read.signature.inputs, *read.signature.outputs))
    assert all(file.is_relative_to(folder) for file in read.external.values())


many = settings(max_examples=150, deadline=None)


def test_the_seeds_are_good(seeds: list[bytes], folder: Path) -> None:
    for seed in seeds:
        (folder / "model.onnx").write_bytes(seed)
        assert read_onnx(folder / "model.onnx").signature.outputs


@many
@given(content=st.binary(max_size=200))
def test_any_bytes(content: bytes, folder: Path) -> None:
    judge(content, folder)


@many
@given(seed=st.integers(0, 2), cut=st.floats(0, 1))
def test_a_file_that_was_cut(seed: int, cut: float, seeds: list[bytes], folder: Path) -> None:
    judge(seeds[seed][: int(cut * len(seeds[seed]))], folder)


@many
@given(
    seed=st.integers(0, 2),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=6),
)
def test_a_file_with_changed_bytes(seed: int, flips: list[tuple[float, int]], seeds: list[bytes], folder: Path) -> None:
    content = bytearray(seeds[seed])
    for place, mask in flips:
        content[int(place * len(content))] ^= mask
    judge(bytes(content), folder)


@many
@given(seed=st.integers(0, 2), other=st.integers(0, 2), ends=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_the_head_of_one_file_and_the_tail_of_another(
    seed: int, other: int, ends: tuple[float, float], seeds: list[bytes], folder: Path
) -> None:
    head, tail = seeds[seed], seeds[other]
    judge(head[: int(ends[0] * len(head))] + tail[int(ends[1] * len(tail)) :], folder)
