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
from torch import nn

from benchmarks.digits_transformer.network import Transformer
from examples.digits.train import Rows, accuracy, fix_seeds, shifted, split_rows, without_traces

EPOCHS, BATCH_ROWS, PEAK_LEARNING_RATE, WEIGHT_DECAY = 120, 64, 2e-3, 5e-2
LABEL_SMOOTHING = 0.05
OPSET = 20


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
