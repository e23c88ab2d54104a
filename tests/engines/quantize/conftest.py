"""The digits network and what ONNX Runtime's own quantizer makes of it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from engines import onnxruntime_engine
from engines.engine import Engine
from engines.onnx_file import read_onnx
from engines.quantize.recipe import Source

DIGITS = Path("examples/digits").resolve()

Open = Callable[[Path], Engine]


class _Images(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        with np.load(DIGITS / "calibration.npz") as rows:
            self._images: Iterator[np.ndarray[Any, Any]] = iter(rows["image"])

    def get_next(self) -> dict[str, Any] | None:
        image = next(self._images, None)
        return None if image is None else {"image": image[np.newaxis]}


@pytest.fixture(scope="session")
def digits() -> Source:
    path = DIGITS / "digits.onnx"
    return Source(path, read_onnx(path).signature)


@pytest.fixture(scope="session")
def static_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("static") / "model.onnx"
    options = {"quant_format": QuantFormat.QDQ, "activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    quantize_static(DIGITS / "digits.onnx", path, _Images(), per_channel=True, **options)
    return path


@pytest.fixture(scope="session")
def dynamic_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dynamic") / "model.onnx"
    quantize_dynamic(DIGITS / "digits.onnx", path, weight_type=QuantType.QUInt8)
    return path


@pytest.fixture
def open_digits(request: pytest.FixtureRequest, digits: Source) -> Open:
    """Opens a file with the signature of digits; what it opened is closed in the end."""

    def opened(path: Path) -> Engine:
        engine = onnxruntime_engine.load(path, digits.signature, instances=1, threads=1)
        request.addfinalizer(engine.close)
        return engine

    return opened
