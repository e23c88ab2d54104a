"""Every engine passes the tests of this folder. A new one is added to `ENGINES` and brings no test."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import ModelProto

from engines import onnxruntime_engine
from engines.engine import Engine
from engines.onnx_file import read_onnx

ENGINES = {"onnxruntime": onnxruntime_engine.load}

Open = Callable[..., Engine]


@pytest.fixture(params=ENGINES)
def open_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens a model, with one worker of one thread unless told otherwise. What it opened is closed in the end."""

    def opened(model: ModelProto, *, instances: int = 1, threads: int = 1) -> Engine:
        path = tmp_path / "model.onnx"
        onnx.save(model, path)
        signature = read_onnx(path).signature
        engine = ENGINES[request.param](path, signature, instances=instances, threads=threads)
        request.addfinalizer(engine.close)
        return engine

    return opened
