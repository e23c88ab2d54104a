"""The table of what quantizing costs: that it has every row, what follows from them, and the sentence encoder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner

from benchmarks.accuracy import encoder, texts
from benchmarks.accuracy.__main__ import accuracy
from benchmarks.accuracy.cases import CASES, MEANS, Key
from benchmarks.accuracy.encoder import read_safetensors, write_encoder
from benchmarks.accuracy.neighbours import nearest, stays_nearest
from benchmarks.accuracy.results import Trial, errors, gains, load, save
from benchmarks.accuracy.texts import sentences, token_ids
from benchmarks.accuracy.trained import MODELS
from engines.quantize.report import Interval, Quality

Array = np.ndarray[Any, Any]
OUTCOMES = [key for case in CASES for key in case.outcomes()]


def trial(key: Key, sqnr_db: float, model: str = "digits", size: float = 0.25) -> Trial:
    drop = Interval(0.001, -0.001, 0.003, 0.95)
    quality = Quality(500, "accuracy", 0.99, 0.989, drop, 1, 0, 0.99, 0.999, 0.1, sqnr_db)
    return Trial(model, key, size=size, quality=quality)


@pytest.mark.timeout(300)
def test_every_case_has_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTET_TOOLS", str(tmp_path / "none"))  # what is made elsewhere is tested elsewhere
    kept = tmp_path / "results.json"
    done = CliRunner().invoke(accuracy, ["--quick", "--only", "digits", "--write", str(kept)])
    assert done.exit_code == 0, done.output
    trials = load(kept)
    assert [trial.key for trial in trials] == OUTCOMES
    assert all((trial.quality is None) == bool(trial.skipped) for trial in trials)
    found = {trial.key: trial for trial in trials if trial.quality}
    assert {"int8", "int8-per-tensor", "int8-corrected", "int8-dynamic"} <= {key.recipe for key in found}
    assert len(found[Key("int8", 4)].excluded) == 4
    assert found[Key("int8", 4)].excluded[:1] == found[Key("int8", 1)].excluded
    assert next(trial.skipped for trial in trials if trial.key.recipe == "int8-openvino").startswith("it is made in an")


def test_what_is_measured_again_takes_the_place_of_what_was(tmp_path: Path) -> None:
    kept = tmp_path / "results.json"
    save([trial(Key("int8"), 30.0), trial(Key("int8"), 20.0, "minilm"), trial(Key("int8", 1), 31.0)], kept)
    save([trial(Key("int8"), 40.0)], kept)
    found = {(one.model, one.key): one.quality.sqnr_db for one in load(kept) if one.quality}
    assert found == {("digits", Key("int8")): 40.0, ("minilm", Key("int8")): 20.0, ("digits", Key("int8", 1)): 31.0}


def test_a_gain_is_the_difference_that_a_means_makes() -> None:
    on, off = MEANS[0].on, MEANS[0].off
    made = [trial(on, 33.25), trial(off, 30.0), trial(on, 20.0, "minilm")]
    head, first, *rest = gains(made)
    assert head == ("means", "without it", "with it", "digits", "minilm")
    assert first == (MEANS[0].name, f"`{off.recipe}`", f"`{on.recipe}`", "+3.2", "")
    assert len(rest) == len(MEANS) - 1


def test_a_row_tells_size_noise_and_drop_and_nothing_of_what_is_not_quantized() -> None:
    head, *rows = errors([trial(Key("int8"), 33.25), trial(Key("int8"), 9.0, "minilm", 0.99)])
    assert head == ("recipe", "size", "digits, dB", "drop", "minilm, dB", "drop")
    assert len(rows) == len(OUTCOMES)
    assert ("`int8`", "0.25 · –", "33.2", "0.10 (0.30)", "", "") in rows
    assert ("`int8`, 2 left out", "– · –", "", "", "", "") in rows


def test_every_means_compares_two_cases_and_every_kept_trial_is_one() -> None:
    assert {key for means in MEANS for key in (means.on, means.off)} <= set(OUTCOMES)
    assert {trial.key for trial in load()} == set(OUTCOMES)
    assert {trial.model for trial in load()} == set(MODELS)


def test_the_nearest_is_found_by_an_embedding_that_hardly_moved() -> None:
    random = np.random.default_rng(0)
    made = random.normal(size=(50, 16)).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    labels = nearest(made)
    assert stays_nearest({"embedding": made}, labels).mean() == 1
    assert not (labels[:, 0] == made).all(1).any(), "no row is its own neighbour"
    assert stays_nearest({"embedding": random.normal(size=made.shape)}, labels).mean() < 0.5


def test_a_word_is_cut_into_the_longest_pieces_that_are_known(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "quant", "##ize", "##izer", "the", ".", "a"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    rows = token_ids(["The quantizer.", "Quantize zebras", "a a a a a a a a"], tmp_path / "vocab.txt", 7)
    assert [[words[place] for place in row] for row in rows] == [
        ["[CLS]", "the", "quant", "##izer", ".", "[SEP]", "[PAD]"],
        ["[CLS]", "quant", "##ize", "[UNK]", "[SEP]", "[PAD]", "[PAD]"],
        ["[CLS]", "a", "a", "a", "a", "a", "[SEP]"],
    ]


def test_sentences_are_the_same_each_time_and_all_different(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "_PACKAGES", ("click",))
    found = sentences(20)
    assert found == sentences(20)
    assert len(set(found)) == 20
    assert all(text.endswith(".") and text.isascii() and len(text) > 50 for text in found)


def written(path: Path, tensors: dict[str, Array]) -> Path:
    """A safetensors file."""
    head, content = {}, b""
    for name, values in tensors.items():
        ends = [len(content), len(content) + values.nbytes]
        head[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": ends}
        content += values.tobytes()
    text = json.dumps(head).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)
    return path


@pytest.fixture
def small_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of an encoder of one layer, 8 wide, that knows 20 words."""
    for name, size in {"LAYERS": 1, "WIDTH": 8, "HEADS": 2}.items():
        monkeypatch.setattr(encoder, name, size)
    embeddings = {"word": (20, 8), "position": (16, 8), "token_type": (2, 8)}
    shapes = {f"embeddings.{name}_embeddings.weight": shape for name, shape in embeddings.items()}
    layer = "encoder.layer.0"
    linear = {f"attention.self.{name}": (8, 8) for name in ("query", "key", "value")}
    linear |= {"attention.output.dense": (8, 8), "intermediate.dense": (32, 8), "output.dense": (8, 32)}
    shapes |= {f"{layer}.{name}.weight": shape for name, shape in linear.items()}
    shapes |= {f"{layer}.{name}.bias": shape[:1] for name, shape in linear.items()}
    norms = ("embeddings", f"{layer}.attention.output", f"{layer}.output")
    shapes |= {f"{norm}.LayerNorm.{part}": (8,) for norm in norms for part in ("weight", "bias")}
    random = np.random.default_rng(0)
    tensors = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    path = written(tmp_path / "model.safetensors", tensors)
    assert all(np.array_equal(read_safetensors(path)[name], values) for name, values in tensors.items())
    return path


def test_an_embedding_has_length_1_and_padding_changes_nothing(small_weights: Path, tmp_path: Path) -> None:
    ids = np.array([[2, 7, 3, 0, 0, 0], [2, 9, 11, 12, 13, 3]], np.int64)
    answers = []
    for tokens in (6, 10):
        path = write_encoder(small_weights, tmp_path / f"{tokens}.onnx", tokens)
        padded = np.pad(ids, ((0, 0), (0, tokens - 6)))
        answers.append(onnxruntime.InferenceSession(path).run(None, {"ids": padded})[0])
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(answers[0], axis=1), 1, rtol=1e-5)
    assert np.abs(answers[0][0] - answers[0][1]).max() > 0.01
