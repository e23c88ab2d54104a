"""Train the digits model and write everything that `README.md` lists beside this file.

    python examples/digits/train.py            # writes into examples/digits
    python examples/digits/train.py --out DIR  # writes somewhere else

Needs what `requirements.txt` lists. Serving the model needs none of it.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

SEED = 20
TEST_ROWS, CALIBRATION_ROWS = 540, 200
CHANNELS, FINE_BLOCKS, COARSE_BLOCKS = 64, 4, 1
EPOCHS, BATCH_ROWS, PEAK_LEARNING_RATE, WEIGHT_DECAY = 60, 64, 5e-3, 1e-3
LABEL_SMOOTHING, LARGEST_SHIFT_PIXELS = 0.05, 1
OPSET = 20

Rows = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Images [N,1,8,8], scaled to 0..1, and their labels [N]."""


def main() -> None:
    """Train, check and write; print the digests that stand in the README."""
    parser = argparse.ArgumentParser(description="Train the digits model.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="the folder to write into")
    folder: Path = parser.parse_args().out
    fix_seeds()
    train, calibration, test = split_rows()
    model = export(trained(train))
    (folder / "digits.onnx").write_bytes(model)
    for name, (images, labels) in {"train": train, "calibration": calibration, "test": test}.items():
        np.savez_compressed(folder / f"{name}.npz", image=images, labels=labels)
    metrics = {"calibration_accuracy": accuracy(model, calibration), "test_accuracy": accuracy(model, test)}
    (folder / "metadata.json").write_text(json.dumps(metadata(metrics), indent=2) + "\n")
    for name in ("digits.onnx", "train.npz", "calibration.npz", "test.npz", "metadata.json"):
        print(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}")
    print(metrics)


def fix_seeds() -> None:
    """One thread and fixed seeds: the order of additions, and so every weight, depends on the processor only."""
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)


def split_rows() -> tuple[Rows, Rows, Rows]:
    """Train, calibration and test rows: disjoint, the same on every machine, each digit in its share."""
    digits = load_digits()
    images = (digits.images / 16.0).astype(np.float32)[:, np.newaxis]
    labels = digits.target.astype(np.int64)
    rest, test = train_test_split(np.arange(len(labels)), test_size=TEST_ROWS, random_state=SEED, stratify=labels)
    train, calibration = train_test_split(rest, test_size=CALIBRATION_ROWS, random_state=SEED, stratify=labels[rest])
    return (images[train], labels[train]), (images[calibration], labels[calibration]), (images[test], labels[test])


def block(channels_in: int, channels_out: int) -> list[nn.Module]:
    """Convolution, batch normalisation, ReLU."""
    convolution = nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]


def network() -> nn.Sequential:
    """Blocks that see 8x8, blocks that see 4x4, and a linear layer on the mean over what is left."""
    fine = [layer for index in range(FINE_BLOCKS) for layer in block(CHANNELS if index else 1, CHANNELS)]
    coarse = [layer for _ in range(COARSE_BLOCKS) for layer in block(CHANNELS, CHANNELS)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, 10)]
    return nn.Sequential(*fine, nn.MaxPool2d(2), *coarse, *head)


def shifted(images: Tensor) -> Tensor:
    """The images [N,1,8,8], each moved by up to LARGEST_SHIFT_PIXELS in both directions; what comes in is 0."""
    reach = LARGEST_SHIFT_PIXELS
    padded = nn.functional.pad(images[:, 0], (reach, reach, reach, reach))
    down, right = torch.randint(0, 2 * reach + 1, (2, len(images), 1, 1))
    row, column = torch.arange(8).view(1, 8, 1), torch.arange(8).view(1, 1, 8)
    return padded[torch.arange(len(images)).view(-1, 1, 1), row + down, column + right][:, None]


def trained(rows: Rows) -> nn.Sequential:
    """The network after EPOCHS over `rows`. The last weights are taken: no row outside `rows` chooses among them."""
    images, labels = (torch.from_numpy(array) for array in rows)
    net = network()
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
    return net.eval()


def export(net: nn.Sequential) -> bytes:
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
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take out what the exporter noted about its source: stack traces, module and file paths."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    graph.name = "digits"
    return model


def accuracy(model: bytes, rows: Rows) -> float:
    """The share of `rows` that the exported model names right in ONNX Runtime."""
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    images, labels = rows
    (logits,) = session.run(["logits"], {"image": images})
    return round(float(np.mean(logits.argmax(axis=1) == labels)), 4)


def metadata(metrics: dict[str, float]) -> dict[str, object]:
    """What `octet model publish --metadata` takes."""
    return {
        "training_data_version": "scikit-learn load_digits (UCI optdigits, 1797 rows)",
        "hyperparameters": {
            "seed": SEED,
            "channels": CHANNELS,
            "fine_blocks": FINE_BLOCKS,
            "coarse_blocks": COARSE_BLOCKS,
            "epochs": EPOCHS,
            "batch_rows": BATCH_ROWS,
            "optimizer": "AdamW, one cycle",
            "peak_learning_rate": PEAK_LEARNING_RATE,
            "weight_decay": WEIGHT_DECAY,
            "label_smoothing": LABEL_SMOOTHING,
            "largest_shift_pixels": LARGEST_SHIFT_PIXELS,
        },
        "metrics": metrics,
        "tags": {"task": "classification", "dataset": "digits", "framework": "torch"},
    }


if __name__ == "__main__":
    main()
