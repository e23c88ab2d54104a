"""The committed digits transformer is the one of its page, and does what the page says."""

import hashlib
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

FOLDER = Path("benchmarks/digits_transformer").resolve()
MODEL = FOLDER / "digits-transformer.onnx"
ROWS = Path("examples/digits/test.npz").resolve()


def test_the_page_names_its_digest() -> None:
    listed = re.findall(r"^ +([0-9a-f]{64})  (\S+)$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert listed == [(hashlib.sha256(MODEL.read_bytes()).hexdigest(), MODEL.name)]


def test_it_is_valid_and_holds_no_trace_of_where_it_was_made() -> None:
    model = onnx.load(MODEL)
    onnx.checker.check_model(model, full_check=True)
    graph = model.graph
    parts = [model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info]
    assert [part for part in parts if part.doc_string or part.metadata_props] == []
    assert [
        path for path in (b"/work", b"/tmp", b"/home", b"/root", b"site-packages") if path in MODEL.read_bytes()
    ] == []


def test_it_is_as_accurate_as_its_page_says() -> None:
    """A row more or less is granted: another processor adds in another order."""
    with np.load(ROWS) as rows:
        (logits,) = onnxruntime.InferenceSession(MODEL).run(["logits"], {"image": rows["image"]})
        assert (logits.argmax(1) == rows["labels"]).sum() == pytest.approx(528, abs=1)
