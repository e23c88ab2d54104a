"""What may end a process ends one of its own."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from engines import apart
from engines.errors import ModelFileError
from engines.onnx_file import read_onnx
from engines.signature import Signature, TensorSpec
from engines.trial import prove_it_loads
from tests.graphs import gather, identity, model, node, value, with_external

FATAL = Signature(
    (TensorSpec("x", "float32", (4,)),), (TensorSpec("y", "float32", (2,)), TensorSpec("z", "float32", (2,))), None
)


def fatal(*, told: bool) -> ModelProto:
    """A model that ends the process which infers its shapes, and the one which loads it."""
    shape = [2] if told else None
    split = node("Split", ["x"], ["y", "z"], num_outputs=1)
    return model([split], [value("x", "float32", [4])], [value(name, "float32", shape) for name in "yz"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def test_a_file_that_ends_the_process_which_infers_its_shapes_is_refused(path: Path) -> None:
    onnx.save(fatal(told=False), path)
    with pytest.raises(ModelFileError, match=r"ends the process which reads it \(SIGABRT\)"):
        read_onnx(path)


def test_a_file_that_ends_the_process_which_loads_it_is_refused(path: Path) -> None:
    onnx.save(fatal(told=True), path)
    with pytest.raises(ModelFileError, match=r"ends the process which reads it \(SIGABRT\)"):
        prove_it_loads("onnxruntime", path, FATAL)


def test_a_file_that_loads_is_proved_to(mlp_onnx: Path) -> None:
    prove_it_loads("onnxruntime", mlp_onnx, read_onnx(mlp_onnx).signature)


def test_external_data_is_found_beside_the_file(path: Path) -> None:
    (path.parent / "w.bin").write_bytes(np.ones(3, np.float32).tobytes())
    with_external(path, "w.bin")
    prove_it_loads("onnxruntime", path, read_onnx(path).signature)


def test_what_onnx_runtime_cannot_load_is_refused_in_its_words(path: Path) -> None:
    unheard_of = model(
        [node("Frobnicate", ["x"], ["y"], domain="com.microsoft")],
        [value("x", "float32", ["N"])],
        [value("y", "float32", ["N"])],
        opsets={"com.microsoft": 1},
    )
    onnx.save(unheard_of, path)
    signature = read_onnx(path).signature
    with pytest.raises(ModelFileError, match=r"ONNX Runtime cannot load the model: .*Frobnicate") as refused:
        prove_it_loads("onnxruntime", path, signature)
    assert "Traceback" not in str(refused.value)


def test_that_made_up_rows_are_refused_is_no_reason(path: Path) -> None:
    made = gather()
    made.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.empty(0, np.float32), "table"))
    onnx.save(made, path)
    prove_it_loads("onnxruntime", path, read_onnx(path).signature)


def test_shapes_that_cannot_be_worked_out_are_told_in_words(path: Path) -> None:
    made = identity("float32", [None])
    made.opset_import[0].CopyFrom(onnx.helper.make_opsetid("ai.onnx.ml", 3))
    onnx.save(made, path)
    with pytest.raises(ModelFileError, match=r"shapes cannot be worked out: .*No opset import") as refused:
        read_onnx(path)
    assert "Traceback" not in str(refused.value)


def test_a_process_that_takes_too_long_is_ended(mlp_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_MOST_SECONDS", 0)
    with pytest.raises(ModelFileError, match="not read within 0 s"):
        prove_it_loads("onnxruntime", mlp_onnx, read_onnx(mlp_onnx).signature)


def test_a_folder_named_like_a_package_is_not_imported(mlp_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (mlp_onnx.parent / "engines").mkdir()
    (mlp_onnx.parent / "engines" / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(mlp_onnx.parent)
    prove_it_loads("onnxruntime", mlp_onnx, read_onnx(mlp_onnx).signature)
