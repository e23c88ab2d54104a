"""What the parser takes and refuses, with node, operator, reason and what mends it; and in which precision."""

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from benchmarks.networks import encoder
from engines.onnx_file import read_onnx
from engines.quantize.half import halve
from engines.tensorrt.build_apart import Checked, check, target_there
from engines.tensorrt.plans import NO_DEVICE
from engines.tensorrt.refusal import listed
from tests.graphs import Array, identity, model, node, save, value

MAKE_AGAIN = "make the variant again with the recipe int8-tensorrt"


def checked(path: Path) -> Checked:
    return check(path, read_onnx(path).signature)


def refusals(made: ModelProto, folder: Path) -> list[str]:
    found = checked(save(made, folder / "model.onnx"))
    assert found.precisions == {}
    return listed(found.refusals)


def test_who_was_asked_is_told() -> None:
    target = target_there()
    assert target.module == "tensorrt_rtx"
    assert target.version.startswith("1.")
    assert (target.device, target.sm, target.driver) == (NO_DEVICE,) * 3


@pytest.mark.parametrize(("name", "precision"), [("fp32", "fp32"), ("fp16", "fp16"), ("int8-tensorrt", "int8")])
def test_every_convolution_is_computed_in_what_the_variant_is_called(
    name: str, precision: str, variants: dict[str, Path]
) -> None:
    found = checked(variants[name])
    assert found.refusals == ()
    layers = [node.name for node in onnx.load(variants["fp32"]).graph.node if node.op_type in ("Conv", "Gemm")]
    assert found.precisions == dict.fromkeys(layers, precision)


def test_attention_keeps_its_own_products_in_fp16(tmp_path: Path) -> None:
    path = save(halve(onnx.load(encoder(tmp_path / "encoder.onnx")), []), tmp_path / "half.onnx")
    found = checked(path)
    assert found.refusals == ()
    assert list(found.precisions.values()) == ["fp16"] * 48


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "int8",
            [
                "node '0.weight_bias_DequantizeLinear' (DequantizeLinear) and 5 more: a bias is quantized",
                "node 'image_QuantizeLinear' (QuantizeLinear) and 17 more: it quantizes to uint8, which TensorRT would",
            ],
        ),
        (
            "int8-symmetric",
            ["node '0.weight_bias_DequantizeLinear' (DequantizeLinear) and 5 more: a bias is quantized"],
        ),
        (
            "int8-dynamic",
            ["node 'view_QuantizeLinear' (DynamicQuantizeLinear) and 1 more: TensorRT has no such operator"],
        ),
    ],
)
def test_variants_for_processors_are_refused_with_what_mends_them(
    name: str, told: list[str], variants: dict[str, Path]
) -> None:
    found = listed(checked(variants[name]).refusals)
    assert [line[: len(begins)] for line, begins in zip(found, told, strict=True)] == told
    assert all(line.endswith(f"; {MAKE_AGAIN}") for line in found)


def test_weights_by_blocks_want_fp16_around_them(variants: dict[str, Path]) -> None:
    (told,) = listed(checked(variants["int4-weight"]).refusals)
    assert told == (
        "node 'node_linear' (MatMulNBits): input tensor A must be FP16; "
        "weights by blocks want FP16 around them; take the recipe fp16 or int8-tensorrt"
    )


def quantized(zero_point: Array | None, **attributes: int) -> ModelProto:
    """`y` is `x` through a pair of Q/DQ."""
    ends = [] if zero_point is None else ["z"]
    held = {"s": np.array(0.1, np.float32)} | ({} if zero_point is None else {"z": zero_point})
    nodes = [
        node("QuantizeLinear", ["x", "s", *ends], ["q"], name="quantize", **attributes),
        node("DequantizeLinear", ["q", "s", *ends], ["y"], name="dequantize"),
    ]
    return model(nodes, [value("x")], [value("y")], held)


@pytest.mark.parametrize(
    ("zero_point", "reason"),
    [
        (np.array(3, np.int8), "its zero point is not 0, and TensorRT knows only symmetric int8"),
        (np.array(0, np.uint8), "it quantizes to uint8, which TensorRT would take for int8"),
        (np.array(128, np.uint8), "it quantizes to uint8, which TensorRT would take for int8"),
        (np.array(0, np.int16), "it quantizes to int16"),
        (np.array(0, np.uint16), "it quantizes to uint16"),
        (np.array(0, ml_dtypes.uint4), "it quantizes to uint4"),
        (np.array(0, ml_dtypes.float8_e5m2), "it quantizes to float8e5m2"),
    ],
    ids=str,
)
def test_forms_of_qdq_that_are_refused_before_any_build(zero_point: Array, reason: str, tmp_path: Path) -> None:
    assert refusals(quantized(zero_point), tmp_path)[0] == (
        f"node 'quantize' (QuantizeLinear) and 1 more: {reason}; {MAKE_AGAIN}"
    )


def test_without_a_zero_point_onnx_means_uint8(tmp_path: Path) -> None:
    (told,) = refusals(quantized(None), tmp_path)
    assert told.startswith("node 'quantize' (QuantizeLinear): it quantizes to uint8")


@pytest.mark.parametrize(
    "made",
    [
        quantized(np.array(0, np.int8)),
        quantized(np.array(0, ml_dtypes.int4)),
        quantized(np.array(0, ml_dtypes.float8_e4m3fn)),
        quantized(None, output_dtype=TensorProto.INT8),
    ],
    ids=["int8", "int4", "fp8", "int8 without zero point"],
)
def test_forms_of_qdq_that_are_taken(made: ModelProto, tmp_path: Path) -> None:
    assert checked(save(made, tmp_path / "model.onnx")).refusals == ()


@pytest.mark.parametrize("dtype", ["float64", "int16", "uint16", "uint32", "uint64", "string"])
def test_dtypes_that_the_parser_refuses_or_narrows_are_refused(dtype: str, tmp_path: Path) -> None:
    (told,) = refusals(identity(dtype, ("N", 2)), tmp_path)
    assert told == (
        f"TensorRT runs no {dtype} ('x'), {dtype} ('y'), only float32, float16, bfloat16, int8, int32, int64, uint8, "
        "bool; serve this model with onnxruntime"
    )


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8", "int32", "int64", "uint8", "bool"])
def test_other_dtypes_are_taken(dtype: str, tmp_path: Path) -> None:
    assert checked(save(identity(dtype, ("N", 2)), tmp_path / "model.onnx")).refusals == ()


def test_an_operator_that_there_is_not_is_named_with_its_node(tmp_path: Path) -> None:
    made = model([node("Unique", ["x"], ["y"], name="only")], [value("x")], [value("y", shape=(None,))])
    assert refusals(made, tmp_path) == [
        "node 'only' (Unique): TensorRT has no such operator; serve it with ONNX Runtime, or export the model otherwise"
    ]


def test_a_node_without_a_name_is_known_by_its_place(tmp_path: Path) -> None:
    nodes = [node("Abs", ["x"], ["a"]), node("Unique", ["a"], ["y"])]
    (told,) = refusals(model(nodes, [value("x")], [value("y", shape=(None,))]), tmp_path)
    assert told.startswith("node '#1' (Unique): ")


def test_an_input_of_unknown_rank_is_refused(tmp_path: Path) -> None:
    made = model([node("Abs", ["x"], ["y"])], [value("x", shape=None)], [value("y", shape=None)])
    assert "input 'x' is of unknown rank; export the model with its shape" in refusals(made, tmp_path)


def test_an_input_whose_values_decide_shapes_is_refused(tmp_path: Path) -> None:
    """No profile holds its values, so a build would fail for want of one."""
    made = model(
        [node("Reshape", ["x", "sizes"], ["y"])],
        [value("x", shape=(2, 3)), value("sizes", "int64", (2,))],
        [value("y", shape=(None, None))],
    )
    (told,) = refusals(made, tmp_path)
    assert told.startswith("the values of input 'sizes' decide shapes, and no memory can be held ready for them; ")


def test_lengths_that_must_be_set_are_told(tmp_path: Path) -> None:
    found = checked(save(identity("float32", ("N", "words")), tmp_path / "model.onnx"))
    assert found.refusals == ()
    assert "axis 1 of input 'x' is dynamic" in found.needs
    assert checked(save(identity("float32", ("N", 2)), tmp_path / "model.onnx")).needs == ""


def test_types_are_not_mixed_by_themselves(tmp_path: Path) -> None:
    made = model(
        [node("Add", ["x", "h"], ["y"], name="sum")],
        [value("x"), value("h", "float16")],
        [value("y")],
    )
    path = save(made, tmp_path / "model.onnx")
    signature = read_onnx(save(identity("float32", ("N", 2)), tmp_path / "other.onnx")).signature
    (told,) = listed(check(path, signature).refusals)
    assert told.startswith("node 'sum' (Add): ")
    assert "must have same input types" in told
    assert told.endswith("take the recipe fp16, which puts casts where types meet")


def test_a_zero_point_beside_the_model_is_read(tmp_path: Path) -> None:
    made = quantized(np.array(3, np.int8))
    onnx.save(made, tmp_path / "model.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    (told,) = listed(checked(tmp_path / "model.onnx").refusals)
    assert "its zero point is not 0" in told


def test_a_matrix_behind_qdq_and_a_transpose_is_int8(tmp_path: Path) -> None:
    """Both sides of the product come from Q/DQ, the weights through a transpose."""
    held = {
        "s": np.array(0.1, np.float32),
        "z": np.array(0, np.int8),
        "w": np.ones((3, 2), np.int8),
    }
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        node("DequantizeLinear", ["w", "s", "z"], ["e"]),
        node("Transpose", ["e"], ["t"], perm=[1, 0]),
        node("MatMul", ["d", "t"], ["y"], name="product"),
    ]
    made = model(nodes, [value("x")], [value("y", shape=("N", 3))], held)
    assert checked(save(made, tmp_path / "model.onnx")).precisions == {"product": "int8"}


def test_a_product_with_one_side_behind_qdq_is_what_it_computes_in(tmp_path: Path) -> None:
    held = {"s": np.array(0.1, np.float32), "z": np.array(0, np.int8), "w": np.ones((2, 3), np.int8)}
    nodes = [node("DequantizeLinear", ["w", "s", "z"], ["e"]), node("MatMul", ["x", "e"], ["y"], name="product")]
    made = model(nodes, [value("x")], [value("y", shape=("N", 3))], held)
    assert checked(save(made, tmp_path / "model.onnx")).precisions == {"product": "fp32"}


def test_branches_and_loops_have_products_too(tmp_path: Path) -> None:
    """Layers of theirs make nothing, or more than one thing."""
    body = helper.make_graph(
        [node("MatMul", ["x", "w"], ["b"], name="inner")], "then", [], [value("b", shape=None)], [held("w")]
    )
    other = helper.make_graph([node("Identity", ["x"], ["c"])], "else", [], [value("c", shape=None)])
    nodes = [
        node("ReduceSum", ["x"], ["s"], keepdims=0),
        node("Greater", ["s", "zero"], ["positive"]),
        node("If", ["positive"], ["y"], then_branch=body, else_branch=other),
    ]
    made = model(nodes, [value("x")], [value("y")], {"zero": np.array(0, np.float32)})
    assert checked(save(made, tmp_path / "model.onnx")).precisions == {"inner": "fp32"}


def held(name: str) -> TensorProto:
    return numpy_helper.from_array(np.eye(2, dtype=np.float32), name)
