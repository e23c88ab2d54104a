"""Every engine passes the tests of this folder. A new one is added to `ENGINES` and brings no test."""

import re
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import ModelProto

from engines import litert_engine, onnxruntime_engine, openvino_engine
from engines.engine import Engine, OpenEngine
from engines.errors import LoadError
from engines.onnx_file import read_onnx
from engines.signature import Signature
from tests.fakes.fake_gpu import open_on_fake_gpu
from tests.tflite import tflite

ENGINES: dict[str, OpenEngine] = {
    "onnxruntime": onnxruntime_engine.load,
    "openvino": openvino_engine.load,
    "litert": litert_engine.load,
    "tensorrt": open_on_fake_gpu,
}
REFUSED_AT_LOADING = {
    "openvino": "runs no text|computes float64 in float32|values of an input decide",
    "litert": "runs no text|UINT64 is unsupported",
    "tensorrt": "runs no (string|u?int16|u?int32|uint64|float64)|decide",
}
"""What an engine says of a model of this suite that it cannot run."""
IN_32_BITS = {"openvino"}
"""Engines that refuse 64-bit integers beyond 32 bits."""
SAYS_NO_MEMORY = {"litert"}
"""Engines that do not say why a run failed: the values are blamed for too little memory too."""

Open = Callable[..., Engine]


def written(engine: str, model: ModelProto, folder: Path) -> tuple[Path, Signature]:
    """The model as a file that the engine reads, and its signature."""
    path = folder / "model.onnx"
    onnx.save(model, path)
    signature = read_onnx(path).signature
    if engine == "litert":
        path = path.with_suffix(".tflite")
        path.write_bytes(tflite({"serving_default": model}))
    return path, signature


@pytest.fixture(params=ENGINES)
def open_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens a model, with one worker of one thread unless told otherwise. What it opened is closed in the end."""

    def opened(model: ModelProto, *, instances: int = 1, threads: int = 1) -> Engine:
        path, signature = written(request.param, model, tmp_path)
        try:
            engine = ENGINES[request.param](path, signature, instances=instances, threads=threads)
        except LoadError as error:
            if re.search(REFUSED_AT_LOADING.get(request.param, "$^"), str(error)):
                pytest.skip(f"{request.param} says so: {error}")
            raise
        request.addfinalizer(engine.close)
        return engine

    return opened
