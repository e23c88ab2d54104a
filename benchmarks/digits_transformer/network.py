"""The digits transformer as a PyTorch module. Needs torch and onnx."""

from collections.abc import Iterator
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

MODEL = Path(__file__).with_name("digits-transformer.onnx")
WIDTH, HEADS, LAYERS, PATCH_PIXELS = 64, 4, 3, 2
PATCHES = (8 // PATCH_PIXELS) ** 2


class Attention(nn.Module):  # type: ignore[misc]  # torch is nowhere that types are checked
    """Each patch looks at all of them, HEADS times."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.into(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(*heads.unbind(0))
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):  # type: ignore[misc]
    """Attention, then two linear layers; what goes in is normalised before each and added after it."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(WIDTH), Attention())
        inner = [nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)]
        self.linear = nn.Sequential(nn.LayerNorm(WIDTH), *inner)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x)
        return x + self.linear(x)


class Transformer(nn.Module):  # type: ignore[misc]
    """Images [N,1,8,8] -> logits [N,10]: patches with their places, blocks, the mean, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, WIDTH, PATCH_PIXELS, stride=PATCH_PIXELS)
        self.places = nn.Parameter(0.02 * torch.randn(PATCHES, WIDTH))
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2) + self.places
        return self.head(self.norm(self.blocks(x)).mean(1))


def network() -> Transformer:
    """With the weights of the ONNX file, for `octet quantize --network`."""
    net = Transformer()
    held = {tensor.name: torch.tensor(numpy_helper.to_array(tensor)) for tensor in onnx.load(MODEL).graph.initializer}
    names = net.state_dict()
    products = dict(zip((name for name in names if name not in held), _products(held), strict=True))
    net.load_state_dict({name: held[name] if name in held else products[name] for name in names})
    net.eval()
    return net


def _products(held: dict[str, Tensor]) -> Iterator[Tensor]:
    """Those of the linear layers in the blocks, in their order: the exporter turned them over and named them anew."""
    return (
        held[node.input[1]].T
        for node in onnx.load(MODEL).graph.node
        if node.op_type == "MatMul" and node.input[1] in held
    )
