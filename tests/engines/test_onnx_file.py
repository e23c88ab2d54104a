"""Which files are taken in, what is read from them, and why others are refused."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from engines.errors import ModelFileError
from engines.onnx_file import MOST_BYTES, OnnxModel, read_onnx
from engines.signature import Signature, TensorSpec
from tests.graphs import identity, model, node, value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def read(made: ModelProto, path: Path) -> OnnxModel:
    path.write_bytes(made.SerializeToString())
    return read_onnx(path)


def test_the_mlp(mlp_onnx: Path) -> None:
    read = read_onnx(mlp_onnx)
    assert read.signature == Signature(
        (TensorSpec("x", "float32", (-1, 64)),), (TensorSpec("y", "float32", (-1, 10)),), 0
    )
    assert (read.external, read.variant) == ({}, "fp32")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "holds no graph"),
        (b"\x80\x04\x95 a pickle", "cut, or is of another format"),
        (b"PK\x03\x04" * 100, "cut, or is of another format"),
        (b'{"json": true}', "cut, or is of another format"),
        (identity("float32", ["N"]).SerializeToString()[:-5], "cut, or is of another format"),
    ],
)
def test_what_is_no_onnx_file(content: bytes, complaint: str, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=f"model.onnx is not an ONNX file: .*{complaint}"):
        read_onnx(path)


def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "missing", "."):
        with pytest.raises(ModelFileError, match="there is no file"):
            read_onnx(tmp_path / name)


def test_a_file_larger_than_protobuf_holds_is_never_read(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(ModelFileError, match=r"over 2 GiB.*external data"):
        read_onnx(path)


def test_a_name_that_is_not_utf_8(path: Path) -> None:
    path.write_bytes(identity("float32", ["N"]).SerializeToString().replace(b"Identity", b"Ident\xff\xffy"))
    with pytest.raises(ModelFileError, match="not UTF-8"):
        read_onnx(path)


def test_what_the_checker_refuses_is_told_in_one_line(path: Path) -> None:
    astray = model([node("Neg", ["gone"], ["y"])], [value("x", "float32", ["N"])], [value("y", "float32", ["N"])])
    with pytest.raises(ModelFileError, match=r"not valid ONNX: .*'gone'") as refused:
        read(astray, path)
    assert "\n" not in str(refused.value)


WEIGHTS = [
    ({"w": np.ones(2, np.float32)}, "fp32"),
    ({"w": np.ones(2, np.float16)}, "fp16"),
    ({"w": np.ones(2, np.float64)}, "fp64"),
    ({"w": np.ones(100, np.float16), "v": np.ones(40, np.float32)}, "fp16"),
    ({"w": np.ones(100, np.float16), "v": np.ones(60, np.float32)}, "fp32"),
    ({"w": np.ones(100, np.int64), "v": np.ones(1, np.float16)}, "fp16"),
    ({"w": np.ones(100, np.int64)}, "fp32"),
    ({}, "fp32"),
]


@pytest.mark.parametrize(("weights", "variant"), WEIGHTS)
def test_the_variant_is_what_most_bytes_of_weights_are(
    weights: dict[str, np.ndarray], variant: str, path: Path
) -> None:
    made = model(
        [node("Identity", ["x"], ["y"])], [value("x", "float32", ["N"])], [value("y", "float32", ["N"])], weights
    )
    assert read(made, path).variant == variant


def test_weights_held_as_constants_count_too(path: Path) -> None:
    tensor = helper.make_tensor("w", TensorProto.BFLOAT16, [2], [1, 2])
    nodes = [node("Constant", [], ["c"], value=tensor), node("Add", ["x", "c"], ["y"])]
    made = model(nodes, [value("x", "bfloat16", ["N", 2])], [value("y", "bfloat16", ["N", 2])])
    assert read(made, path).variant == "bf16"


def test_a_quantized_model_is_int8_wherever_its_nodes_are(path: Path) -> None:
    branches = {
        "then_branch": helper.make_graph(
            [node("QuantizeLinear", ["x", "s"], ["q"]), node("DequantizeLinear", ["q", "s"], ["a"])],
            "then",
            [],
            [value("a", "float32", None)],
        ),
        "else_branch": helper.make_graph([node("Identity", ["x"], ["b"])], "else", [], [value("b", "float32", None)]),
    }
    made = model(
        [node("If", ["c"], ["y"], **branches)],
        [value("c", "bool", []), value("x", "float32", ["N"])],
        [value("y", "float32", ["N"])],
        {"s": np.array(0.1, np.float32)},
    )
    assert read(made, path).variant == "int8"


def test_a_model_of_other_operators_only_is_taken_in(path: Path) -> None:
    made = model(
        [node("Binarizer", ["x"], ["y"], domain="ai.onnx.ml")],
        [value("x", "float32", ["N"])],
        [value("y", "float32", ["N"])],
        opsets={"ai.onnx.ml": 3},
    )
    del made.opset_import[0]
    assert read(made, path).variant == "fp32"


def test_a_file_that_was_made_by_saving_with_external_data(path: Path) -> None:
    made = model(
        [node("MatMul", ["x", "w"], ["y"])],
        [value("x", "float16", ["N", 64])],
        [value("y", "float16", ["N", 64])],
        {"w": np.ones((64, 64), np.float16)},
    )
    (path.parent / "weights").mkdir()
    onnx.save(made, path, save_as_external_data=True, location="weights/all.bin", size_threshold=0)
    found = read_onnx(path)
    assert found.external == {"weights/all.bin": path.parent / "weights" / "all.bin"}
    assert found.variant == "fp16"
