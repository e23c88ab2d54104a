"""The recipe `int8-tensorrt`: explicit Q/DQ in the one form that TensorRT takes, and FP16 around it."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, numpy_helper, version_converter

from benchmarks.networks import encoder
from engines.errors import QuantizeError
from engines.onnx_file import read_onnx
from engines.quantize.open_rows import open_rows
from engines.quantize.recipe import Options, Source
from engines.quantize.rows import Rows, RowsSpec
from engines.quantize.tensorrt_static import TENSORRT
from tests.engines.quantize.conftest import DIGITS

(RECIPE,) = TENSORRT


@pytest.fixture(scope="module")
def rows(digits: Source) -> Rows:
    return open_rows(RowsSpec(str(DIGITS / "calibration.npz"), most_rows=20, seed=0), digits.signature)


def make(source: Source, rows: Rows, folder: Path, exclude: tuple[str, ...] = ()) -> ModelProto:
    made = RECIPE.make(source, rows, folder, Options(exclude), lambda what, done: None)
    assert read_onnx(made.main).signature == source.signature
    return onnx.load(made.main)


def dtypes(model: ModelProto) -> dict[str, int]:
    """Of every tensor that is computed or held."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    computed = {value.name: value.type.tensor_type.elem_type for value in inferred.graph.value_info}
    return computed | {tensor.name: tensor.data_type for tensor in model.graph.initializer}


def test_every_zero_point_is_zero_and_no_bias_is_quantized(digits: Source, rows: Rows, tmp_path: Path) -> None:
    model = make(digits, rows, tmp_path)
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    found = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(found) == 18  # a pair before each of six layers, and one for its weights
    for node in found:
        assert held[node.input[2]].dtype == np.int8
        assert not held[node.input[2]].any()


def test_what_is_not_int8_is_fp16(digits: Source, rows: Rows, tmp_path: Path) -> None:
    model = make(digits, rows, tmp_path)
    counted = {dtype for name, dtype in dtypes(model).items() if name not in {"image", "logits"}}
    assert counted == {TensorProto.INT8, TensorProto.FLOAT16, TensorProto.INT64}


def test_nothing_is_quantized_between_a_product_and_what_follows_it(digits: Source, rows: Rows, tmp_path: Path) -> None:
    model = make(digits, rows, tmp_path)
    made = {node.output[0] for node in model.graph.node if node.op_type == "Conv"}
    assert [node.op_type for node in model.graph.node if made & set(node.input)] == ["Relu"] * 5


def test_an_excluded_layer_stays_in_fp32(digits: Source, rows: Rows, tmp_path: Path) -> None:
    model = make(digits, rows, tmp_path, exclude=("node_Conv_84",))
    found = dtypes(model)
    types = {node.name: found[node.output[0]] for node in model.graph.node if node.op_type == "Conv"}
    assert types.pop("node_Conv_84") == TensorProto.FLOAT
    assert set(types.values()) == {TensorProto.FLOAT16}


def test_what_attention_multiplies_is_not_quantized(tmp_path: Path) -> None:
    path = encoder(tmp_path / "encoder.onnx")
    source = Source(path, read_onnx(path).signature)
    np.savez(tmp_path / "rows.npz", ids=np.random.default_rng(0).integers(1, 1000, (2, 128)))
    model = make(source, open_rows(RowsSpec(str(tmp_path / "rows.npz")), source.signature), tmp_path)
    dequantized = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    sides = [len(dequantized & set(node.input)) for node in model.graph.node if node.op_type == "MatMul"]
    assert (sides.count(2), sides.count(1), sides.count(0)) == (36, 0, 12)


def test_a_model_of_an_older_opset_is_brought_to_one_with_scales_in_fp16(
    digits: Source, rows: Rows, tmp_path: Path
) -> None:
    onnx.save(version_converter.convert_version(onnx.load(digits.path), 17), tmp_path / "old.onnx")
    model = make(Source(tmp_path / "old.onnx", digits.signature), rows, tmp_path)
    assert next(entry.version for entry in model.opset_import if not entry.domain) == 19


def test_a_model_that_cannot_be_brought_there_is_to_be_exported_anew(
    digits: Source, rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_adapter(model: ModelProto, opset: int) -> ModelProto:
        raise RuntimeError("no adapter for Scan")

    onnx.save(version_converter.convert_version(onnx.load(digits.path), 17), tmp_path / "old.onnx")
    monkeypatch.setattr(version_converter, "convert_version", no_adapter)
    with pytest.raises(
        QuantizeError, match=r"needs opset 19.* opset 17 cannot be converted \(no adapter for Scan\); export"
    ):
        make(Source(tmp_path / "old.onnx", digits.signature), rows, tmp_path)
