"""ONNX Runtime on a GPU, as far as a machine without one can show."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from engines import onnxruntime_cuda_engine
from engines.engine import Engine
from engines.errors import InputRefused, LoadError, RunError
from engines.onnx_file import read_onnx
from engines.onnxruntime_cuda_engine import load
from engines.onnxruntime_engine import OnnxRuntimeEngine, open_session
from tests.graphs import doubling, gather, identity


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx.save(doubling(), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def opened(path: Path) -> Engine:
    return load(path, read_onnx(path).signature, instances=1, threads=1)


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="there is CUDA here")
def test_an_onnx_runtime_without_cuda_says_what_to_install(model: Path) -> None:
    with pytest.raises(LoadError, match="onnxruntime-gpu in place of onnxruntime"):
        opened(model)


def test_a_session_that_went_to_the_processor_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime only logs that CUDA's libraries do not load, and goes on without."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime_cuda_engine, "open_session", lambda *_: session)
    with pytest.raises(LoadError, match="gave CPUExecutionProvider where CUDA was asked for"):
        opened(model)


@pytest.fixture
def on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but the GPU."""
    monkeypatch.setattr(onnxruntime_cuda_engine, "_CUDA", "CPUExecutionProvider")

    def session(path: Path, threads: int, providers: object) -> onnxruntime.InferenceSession:
        return open_session(path, threads, ["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime_cuda_engine, "open_session", session)


def test_it_runs(model: Path, on_the_processor: None) -> None:
    engine = opened(model)
    assert engine.name.startswith("onnxruntime-cuda ")
    assert engine.runner().run({"x": np.ones((1, 2), np.float32)})["y"].tolist() == [[2, 2]]
    with pytest.raises(LoadError, match="instances"):
        engine.runner()


def test_an_index_is_refused_before_a_gpu_answers_it(tmp_path: Path, on_the_processor: None) -> None:
    onnx.save(gather(), tmp_path / "gather.onnx")
    with pytest.raises(InputRefused, match=r"'x' holds 3, an index must be within \[-3,2\]"):
        opened(tmp_path / "gather.onnx").runner().run({"x": np.array([3])})


class Failing:
    """A session whose GPU fails, in ONNX Runtime's words."""

    def __init__(self, path: Path) -> None:
        self._real = onnxruntime.InferenceSession(path)
        self.get_inputs, self.get_outputs = self._real.get_inputs, self._real.get_outputs

    def run(self, *_: object) -> None:
        raise RuntimeError(
            "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Conv node. Name:'c' Status "
            "Message: CUDNN failure 4: CUDNN_STATUS_INTERNAL_ERROR ; GPU=0 ; hostname=h ; file=/o/conv.cc ; line=1"
        )


def test_a_gpu_that_fails_is_not_the_callers_fault(tmp_path: Path) -> None:
    onnx.save(identity("float32", ["N"]), tmp_path / "i.onnx")
    signature = read_onnx(tmp_path / "i.onnx").signature
    runner = OnnxRuntimeEngine(signature, [Failing(tmp_path / "i.onnx")]).runner()
    with pytest.raises(RunError, match="CUDNN failure 4"):
        runner.run({"x": np.ones(1, np.float32)})
