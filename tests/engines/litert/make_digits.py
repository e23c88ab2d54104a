"""Writes `digits_int8.tflite` beside this file: the digits model as a stranger might quantize it.

    build/tools/torch/bin/python tests/engines/litert/make_digits.py

Static INT8 with integer inputs and outputs; functions for 1 and for 8 rows, which share the weights.
"""

import sys
from pathlib import Path

import litert_torch
import numpy as np
import torch
from ai_edge_quantizer import quantizer, recipe
from torch import Tensor, nn

HERE = Path(__file__).parent
DIGITS = HERE.parents[2] / "examples" / "digits"
sys.path.append(str(DIGITS))
from network import network  # noqa: E402


class Digits(nn.Module):
    """The network with its output named."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.network(image)}


def calibration(rows: int) -> list[dict[str, np.ndarray]]:
    images = np.load(DIGITS / "calibration.npz")["image"]
    return [{"image": images[start : start + rows]} for start in range(0, len(images), rows)]


digits, floats = Digits().eval(), HERE / "digits.tflite"
functions = litert_torch.signature("one", digits, (), {"image": torch.zeros(1, 1, 8, 8)})
functions.signature("eight", digits, (), {"image": torch.zeros(8, 1, 8, 8)}).convert().export(floats)
recipes = quantizer.Quantizer(floats, recipe.static_wi8_ai8())
made = recipes.quantize(recipes.calibrate({"one": calibration(1), "eight": calibration(8)}))
made.export_model(HERE / "digits_int8.tflite", overwrite=True)
floats.unlink()
