"""The digits model as a PyTorch module again, for what starts from one: `octet quantize --network`.

    octet quantize digits --network examples.digits.network:network --fine-tune examples.digits.network:fine_tune ...

Needs torch and onnx, not what `train.py` needs beside.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

FOLDER = Path(__file__).parent
CHANNELS, CLASSES = 64, 10
EPOCHS, BATCH_ROWS, LEARNING_RATE, LABEL_SMOOTHING = 2, 64, 1e-4, 0.05


def network() -> nn.Sequential:
    """What `train.py` exported, with its weights: batch normalisation is folded into the convolutions.

    Identities stand where it stood, so that every layer keeps its name.
    """
    blocks: list[nn.Module] = []
    for channels_in in (1, CHANNELS, CHANNELS, CHANNELS, CHANNELS):
        blocks += [nn.Conv2d(channels_in, CHANNELS, kernel_size=3, padding=1), nn.Identity(), nn.ReLU()]
    blocks.insert(12, nn.MaxPool2d(2))
    net = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, CLASSES))
    net.load_state_dict(weights())
    return net.eval()


def weights() -> dict[str, Tensor]:
    """Those of `digits.onnx`, by the names that they had in the module."""
    held = onnx.load(FOLDER / "digits.onnx").graph.initializer
    named = {tensor.name.replace(".weight_bias", ".bias"): numpy_helper.to_array(tensor) for tensor in held}
    return {name: torch.tensor(array) for name, array in named.items() if name.endswith((".weight", ".bias"))}


def fine_tune(module: nn.Module) -> None:
    """Train two epochs more on the training rows, at a low rate; the same weights each time on the same processor."""
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    with np.load(FOLDER / "train.npz") as rows:
        images, labels = torch.tensor(rows["image"]), torch.tensor(rows["labels"])
    optimizer = torch.optim.Adam(module.parameters(), LEARNING_RATE)
    loss_of = nn.CrossEntropyLoss(label_smoothing=LABEL_SMOOTHING)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(labels)).split(BATCH_ROWS):
            optimizer.zero_grad()
            loss_of(module(images[chosen]), labels[chosen]).backward()
            optimizer.step()
