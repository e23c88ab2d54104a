"""A .tflite that somebody quantized elsewhere: taken in by the command, through the gate, and served."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from app.cli.main import octet
from tests.graphs import doubling
from tests.service.conftest import Publish, Start
from tests.service.jobs import DIGITS
from tests.tflite import tflite

INT8 = Path(__file__).parents[2] / "engines" / "litert" / "digits_int8.tflite"


@pytest.fixture
def store_with_digits(store_folder: Path, publish: Publish) -> Path:
    publish("digits", "1.0.0", onnx.load(DIGITS / "digits.onnx"))
    return store_folder


def take_in(path: Path, store: Path) -> Result:
    rows = ("--calibration", str(DIGITS / "calibration.npz"), "--evaluate", str(DIGITS / "test.npz"))
    words = ("--import", f"int8-mine={path}", *rows, "--max-drop", "1%", "--min-speedup", "0", "--store", str(store))
    return CliRunner().invoke(octet, ("quantize", "digits@1.0.0", *words))


def test_what_passed_the_gate_answers_many_at_once(store_with_digits: Path, start: Start) -> None:
    done = take_in(INT8, store_with_digits)
    assert done.exit_code == 0, done.output
    server = start("--variant", "int8-mine", split=(2, 1))
    with np.load(DIGITS / "test.npz") as rows:
        images, labels = rows["image"], rows["labels"]

    def read(index: int) -> list[int]:
        sent = images[index : index + 1 + index % 11]
        answer = server.predict("digits", {"instances": sent.tolist()})
        assert answer.status_code == 200, answer.text
        assert answer.headers["octet-variant"] == "int8-mine"
        logits = np.array(answer.json()["predictions"])
        assert logits.shape == (len(sent), 10)
        return [int(digit) for digit in logits.argmax(axis=1) == labels[index : index + len(sent)]]

    with ThreadPoolExecutor(8) as clients:
        right = [hit for hits in clients.map(read, range(0, 540, 4)) for hit in hits]
    assert np.mean(right) > 0.98


def test_a_file_that_ends_the_process_which_reads_it_is_not_taken_in(store_with_digits: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.tflite").write_bytes(tflite({"a": doubling()}, subgraph_of={"a": 9}))
    done = take_in(tmp_path / "broken.tflite", store_with_digits)
    assert "int8-mine: the model is broken in a way that ends the process which reads it (SIGSEGV)" in done.stdout


def test_a_file_of_another_signature_is_not_taken_in(store_with_digits: Path, tmp_path: Path) -> None:
    (tmp_path / "other.tflite").write_bytes(tflite({"a": doubling()}))
    done = take_in(tmp_path / "other.tflite", store_with_digits)
    assert "int8-mine: 'image' of the file has the shape [-1, 2], its signature says [-1, 1, 8, 8]" in done.stdout
