"""What is ONNX Runtime's own affair."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto

from benchmarks.networks import encoder
from engines.engine import Engine
from engines.errors import InputRefused, LoadError
from engines.onnx_file import read_onnx
from engines.onnxruntime_engine import SLOWER_FUSIONS, load
from tests.graphs import gather, identity, model, node, value


def opened(made: ModelProto, path: Path) -> Engine:
    onnx.save(made, path)
    return load(path, read_onnx(path).signature, instances=1, threads=1)


def test_text_beside_bfloat16_is_refused_at_loading(tmp_path: Path) -> None:
    both = model(
        [node("Identity", ["a"], ["b"]), node("Identity", ["s"], ["t"])],
        [value("a", "bfloat16", ["N"]), value("s", "string", ["N"])],
        [value("b", "bfloat16", ["N"]), value("t", "string", ["N"])],
    )
    with pytest.raises(LoadError, match=r"no text .* bfloat16 .* Cast"):
        opened(both, tmp_path / "m.onnx")


def test_the_slower_fusions_are_known_to_this_onnx_runtime_by_these_names(tmp_path: Path) -> None:
    """It says nothing of a name that it does not know."""
    encoder(tmp_path / "encoder.onnx")
    found = {}
    for left_out in ([], SLOWER_FUSIONS):
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
        options.log_severity_level = 4
        onnxruntime.InferenceSession(
            tmp_path / "encoder.onnx", options, providers=["CPUExecutionProvider"], disabled_optimizers=left_out
        )
        found[len(left_out)] = {one.op_type for one in onnx.load(tmp_path / "optimized.onnx").graph.node}
    fused = {"SkipLayerNormalization", "BiasGelu"}
    assert fused <= found[0]
    assert not fused & found[2]


def test_a_refusal_names_the_node_and_no_place_in_a_source_file(tmp_path: Path) -> None:
    with pytest.raises(InputRefused) as refused:
        opened(gather(), tmp_path / "m.onnx").runner().run({"x": np.array([7])})
    assert str(refused.value) == (
        "the model refused these values: Gather node '': indices element out of data bounds, idx=7 must be within "
        "the inclusive range [-3,2]"
    )


def test_a_failure_names_the_node_and_no_place_in_a_source_file(tmp_path: Path) -> None:
    inputs = [value("x", "float32", [None]), value("s", "int64", [None])]
    reshape = model([node("Reshape", ["x", "s"], ["y"], name="r")], inputs, [value("y", "float32", [None, None])])
    with pytest.raises(InputRefused) as failed:
        opened(reshape, tmp_path / "m.onnx").runner().run({"x": np.ones(6, np.float32), "s": np.array([4, 4])})
    text = str(failed.value)
    assert text.startswith("the model refused these values: Reshape node 'r': ")
    assert text.endswith("Input shape:{6}, requested shape:{4,4}")
    assert not any(trace in text for trace in ("onnxruntime_src", "::", ".h:", ".cc:", "ONNXRuntimeError"))


def test_a_failed_load_tells_the_cause_and_neither_path_nor_source_file(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    made = identity("float32", ["N"])
    onnx.save(made, path)
    signature = read_onnx(path).signature
    made.ir_version = 99
    onnx.save(made, path)
    with pytest.raises(LoadError) as failed:
        load(path, signature, instances=1, threads=1)
    text = str(failed.value)
    assert text.startswith("ONNX Runtime cannot load the model: Unsupported model IR version: 99")
    assert str(tmp_path) not in text


def test_refused_values_leave_no_line_in_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runner = opened(gather(), tmp_path / "m.onnx").runner()
    with pytest.raises(InputRefused):
        runner.run({"x": np.array([7])})
    assert capfd.readouterr() == ("", "")
