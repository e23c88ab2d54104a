"""The committed digits model: its files are those of the README, and it does what the README says."""

import hashlib
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from model_store.manifest import Metadata

FOLDER = Path(__file__).parents[2] / "examples" / "digits"
MODEL = FOLDER / "digits.onnx"
DATA = {"digits.onnx", "train.npz", "calibration.npz", "test.npz", "metadata.json"}

Rows = tuple[NDArray[np.float32], NDArray[np.int64]]


def rows(name: str) -> Rows:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        return file["image"], file["labels"]


def accuracy(images: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"image": images})
    return float(np.mean(logits.argmax(axis=1) == labels))


def test_the_readme_names_the_digest_of_every_data_file() -> None:
    listed = re.findall(r"^ +([0-9a-f]{64})  (\S+)$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    found = {name: hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() for name in DATA}
    assert {name: digest for digest, name in listed} == found


def test_the_model_is_a_valid_small_onnx() -> None:
    model = onnx.load(MODEL, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert MODEL.stat().st_size < 2_000_000
    assert [opset.domain for opset in model.opset_import] == [""]
    assert model.opset_import[0].version >= 17
    assert not [weight.name for weight in model.graph.initializer if weight.external_data]


def test_the_signature_is_the_one_in_the_readme() -> None:
    session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    described = [(tensor.name, tensor.type, tensor.shape) for tensor in (*session.get_inputs(), *session.get_outputs())]
    assert described == [("image", "tensor(float)", ["N", 1, 8, 8]), ("logits", "tensor(float)", ["N", 10])]


def test_the_model_holds_no_trace_of_where_it_was_made() -> None:
    content = MODEL.read_bytes()
    assert [path for path in (b"/work", b"/tmp", b"/home", b"/root", b"site-packages") if path in content] == []
    model = onnx.load(MODEL)
    graph = model.graph
    parts = [model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info]
    assert [part for part in parts if part.doc_string or part.metadata_props] == []


@pytest.mark.parametrize(("name", "count"), [("train", 1057), ("calibration", 200), ("test", 540)])
def test_rows_are_scaled_images_of_every_digit(name: str, count: int) -> None:
    images, labels = rows(name)
    assert (str(images.dtype), images.shape) == ("float32", (count, 1, 8, 8))
    assert (str(labels.dtype), labels.shape) == ("int64", (count,))
    assert np.array_equal(np.unique(images), np.arange(17, dtype=np.float32) / 16)  # pixel counts 0..16
    assert np.bincount(labels, minlength=10).min() >= 0.95 * count / 10


def test_no_row_is_there_twice() -> None:
    """Neither in two files nor twice in one."""
    images = np.concatenate([rows(name)[0] for name in ("train", "calibration", "test")])
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == 1797


def test_the_model_is_as_accurate_as_its_metadata_says() -> None:
    """A row more or less is granted: another processor adds in another order."""
    metrics = Metadata.model_validate_json((FOLDER / "metadata.json").read_bytes()).metrics
    reached = accuracy(*rows("test"))
    assert reached >= 0.985
    assert reached == pytest.approx(metrics["test_accuracy"], abs=1.5 / 540)
    assert accuracy(*rows("calibration")) == pytest.approx(metrics["calibration_accuracy"], abs=1.5 / 200)


def test_the_answer_to_a_row_does_not_depend_on_its_batch() -> None:
    images, _ = rows("test")
    session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    together = session.run(["logits"], {"image": images})[0]
    alone = np.concatenate([session.run(["logits"], {"image": image[np.newaxis]})[0] for image in images[:20]])
    np.testing.assert_allclose(together[:20], alone, rtol=1e-4, atol=1e-5)
