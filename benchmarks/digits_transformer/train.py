"""Train the digits transformer and write it beside this file.

    python -m benchmarks.digits_transformer.train            # writes into this folder
    python -m benchmarks.digits_transformer.train --out DIR  # writes somewhere else

Needs what `examples/digits/requirements.txt` lists; the rows, and how they are moved, are those of `examples/digits`.
"""

import argparse
import hashlib
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from examples.digits.train import Rows, accuracy, fix_seeds, shifted, split_rows, without_traces

WIDTH, HEADS, LAYERS, PATCH_PIXELS = 64, 4, 3, 2
PATCHES = (8 // PATCH_PIXELS) ** 2
EPOCHS, BATCH_ROWS, PEAK_LEARNING_RATE, WEIGHT_DECAY = 120, 64, 2e-3, 5e-2
LABEL_SMOOTHING = 0.05
OPSET = 20


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


def main() -> None:
    """Train, check and write; print the digest that stands in the README."""
    parser = argparse.ArgumentParser(description="Train the digits transformer.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="the folder to write into")
    path: Path = parser.parse_args().out / "digits-transformer.onnx"
    fix_seeds()
    train, calibration, test = split_rows()
    model = export(trained(train))
    path.write_bytes(model)
    print(f"{hashlib.sha256(model).hexdigest()}  {path.name}")
    print({"calibration_accuracy": accuracy(model, calibration), "test_accuracy": accuracy(model, test)})


def trained(rows: Rows) -> Transformer:
    """The network after EPOCHS over `rows`. The last weights are taken: no row outside `rows` chooses among them."""
    images, labels = (torch.from_numpy(array) for array in rows)
    net = Transformer()
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=WEIGHT_DECAY)
    batches = -(-len(labels) // BATCH_ROWS)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LEARNING_RATE, total_steps=EPOCHS * batches)
    loss_of = nn.CrossEntropyLoss(label_smoothing=LABEL_SMOOTHING)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(labels)).split(BATCH_ROWS):
            optimizer.zero_grad()
            loss_of(net(shifted(images[chosen])), labels[chosen]).backward()
            optimizer.step()
            schedule.step()
    net.eval()
    return net


def export(net: Transformer) -> bytes:
    """The network as ONNX: `image` float32 [N,1,8,8] in, `logits` float32 [N,10] out, checked."""
    program = torch.onnx.export(
        net,
        (torch.zeros(2, 1, 8, 8),),
        input_names=["image"],
        output_names=["logits"],
        opset_version=OPSET,
        dynamic_shapes=({0: torch.export.Dim("N")},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = without_traces(program.model_proto)
    model.graph.name = "digits-transformer"
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


if __name__ == "__main__":
    main()
