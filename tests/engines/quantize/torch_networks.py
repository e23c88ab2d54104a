"""Modules for tests of recipes that start from one. Run by the Python of `build/tools/torch`:

    python -m tests.engines.quantize.torch_networks FOLDER

makes files in the folder, which the tests look into, and prints as JSON what else they want to know.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from engines.errors import EngineError
from engines.onnx_file import read_onnx
from engines.quantize import litert_graph, pt2e_graph
from engines.quantize.network import load_network, modules_of
from engines.quantize.open_rows import open_rows
from engines.quantize.pt2e_quantizer import OnnxRuntimeQuantizer
from engines.quantize.recipe import Source
from engines.quantize.rows import RowsSpec
from engines.signature import Signature, TensorSpec
from examples.digits import network as digits

WIDTH, WORDS = 16, 50
IMAGES = Signature((TensorSpec("image", "float32", (-1, 3, 8, 8)),), (TensorSpec("logits", "float32", (-1, 10)),), 0)
TEXTS = Signature(
    (TensorSpec("ids", "int64", (-1, 4)), TensorSpec("mask", "float32", (-1, 4))),
    (TensorSpec("mean", "float32", (-1, WIDTH)), TensorSpec("score", "float32", (-1, 1))),
    0,
)


class Block(nn.Module):
    """A residual one."""

    def __init__(self, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(2))
        self.first_norm, self.second_norm = norm(WIDTH), norm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(x + self.second_norm(self.second(inner)))


class Residual(nn.Module):
    """A convolution, two residual blocks, the mean over all positions, a product."""

    def __init__(self, norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(3, WIDTH, 3, padding=1), nn.Sequential(Block(norm), Block(norm))
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.blocks(torch.relu(self.stem(image)))
        return self.head(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


class Words(nn.Module):
    """Two inputs, one of integers, and two outputs in a dict that calls them otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, 1)

    def forward(self, tokens: Tensor, weights: Tensor) -> dict[str, Tensor]:
        mean = (self.words(tokens) * weights[:, :, None]).mean(1)
        return {"m": mean, "s": self.head(mean)}


def untrained() -> nn.Module:
    """The digits network with other weights."""
    torch.manual_seed(1)
    net = digits.network()
    net[0].reset_parameters()
    return net


def flat() -> nn.Module:
    """One that does not take images."""
    return nn.Linear(64, 10)


def two_answers() -> nn.Module:
    """The digits network, which tells its answer twice."""

    class Twice(nn.Module):
        def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
            return net(image), net(image)

    net = digits.network()
    return Twice()


def weights() -> dict[str, Tensor]:
    """No module."""
    return digits.weights()


def fails() -> nn.Module:
    """As a user's code may."""
    raise FileNotFoundError("weights.pt")


def refusals() -> dict[str, str]:
    """What is wrong -> what was said."""
    path = digits.FOLDER / "digits.onnx"
    signature = read_onnx(path).signature
    rows = open_rows(RowsSpec(str(digits.FOLDER / "calibration.npz")), signature)
    refused = {
        name: _words(load_network, Source(path, signature, f"{__spec__.name}:{name}"), rows)
        for name in ("untrained", "flat", "two_answers", "weights", "fails", "nothing_there")
    }
    source = Source(path, signature, "examples.digits.network:network")
    return refused | {
        "a layer without weights": _words(modules_of, load_network(source, None), source, ["node_relu"]),
        "nothing to quantize": _words(pt2e_graph.write_onnx, nn.ReLU(), IMAGES, Path("not_written.onnx")),
    }


def _words(function: Callable[..., object], *arguments: object) -> str:
    try:
        return f"not refused: {function(*arguments)}"
    except EngineError as error:
        return str(error)


def ends() -> list[str]:
    """Nodes behind which the residual network is quantized for training, as its batch normalization is still there."""
    graph = torch.export.export(Residual().eval(), (torch.zeros(2, 3, 8, 8),)).module()
    OnnxRuntimeQuantizer(trains=True, reduce_range=False, left_out=()).annotate(graph)
    annotations = {node.name: node.meta.get("quantization_annotation") for node in graph.graph.nodes}
    return [name for name, found in annotations.items() if found is not None and found.output_qspec is not None]


def make(folder: Path) -> None:
    """`calibrated.onnx`, `trained.onnx`; `words.tflite`, and `words.npz` with some of its inputs and outputs."""
    torch.manual_seed(0)
    images = torch.rand(32, 3, 8, 8)
    # torchao takes 20 s to find out how to train with batch normalization.
    for name, norm, trains in (("calibrated", nn.BatchNorm2d, False), ("trained", nn.Identity, True)):
        quantizer = OnnxRuntimeQuantizer(trains=trains, reduce_range=False, left_out=())
        graph = pt2e_graph.quantized(Residual(norm).eval(), IMAGES, quantizer, lambda module: module(images))
        pt2e_graph.write_onnx(graph, IMAGES, folder / f"{name}.onnx")
    words, ids, mask = Words().eval(), torch.randint(0, WORDS, (11, 4)), torch.rand(11, 4)
    litert_graph.write(words, TEXTS, folder / "words.tflite")
    with torch.no_grad():
        mean, score = words(ids, mask).values()
    np.savez(folder / "words.npz", ids=ids, mask=mask, mean=mean, score=score)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
    print(json.dumps({"ends": ends(), "refusals": refusals()}))  # noqa: T201
