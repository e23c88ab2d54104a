"""What is LiteRT's own affair: batches of a few sizes, integers in place of floats, names, files that are broken."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto

from app.lifespan import open_litert
from engines import onnxruntime_engine
from engines.errors import InputRefused, LoadError, ModelFileError
from engines.litert_engine import LiteRtEngine, load
from engines.litert_runner import cover
from engines.onnx_file import read_onnx
from engines.signature import Signature, TensorSpec
from engines.trial import prove_it_loads
from tests.graphs import adding, doubling, gather, identity, linear, model, node, save, value
from tests.tflite import Quantized, tflite

DIGITS = Path("examples/digits")
DIGITS_INT8 = Path(__file__).parent / "litert" / "digits_int8.tflite"
RANDOM = np.random.default_rng(5)


def opened(
    functions: Mapping[str, ModelProto], folder: Path, signature: Signature | None = None, **more: Any
) -> LiteRtEngine:
    """A file of these functions, opened with the signature of the first where none is given."""
    signature = signature or read_onnx(save(next(iter(functions.values())), folder / "m.onnx")).signature
    (folder / "m.tflite").write_bytes(tflite(functions, **more))
    return load(folder / "m.tflite", signature, instances=1, threads=1)


@given(st.integers(0, 200), st.sets(st.integers(1, 40), min_size=1).map(sorted))
def test_rows_are_covered_by_sizes_that_are_there_and_only_the_last_run_is_filled_up(
    rows: int, sizes: list[int]
) -> None:
    runs = cover(rows, sizes)
    assert set(runs) <= set(sizes)
    assert runs == sorted(runs, reverse=True)
    assert sum(runs[:-1]) < max(rows, 1) <= sum(runs)
    assert sum(runs) == rows or runs[-1] == sizes[0]


@pytest.mark.parametrize(
    ("rows", "sizes", "runs"),
    [(1, [1, 8], [1]), (19, [1, 8], [8, 8, 1, 1, 1]), (8, [1, 8], [8]), (5, [4], [4, 4]), (0, [1, 8], [1])],
)
def test_the_largest_size_that_is_filled_comes_first(rows: int, sizes: list[int], runs: list[int]) -> None:
    assert cover(rows, sizes) == runs


@pytest.mark.parametrize("sizes", [{"a": 1, "b": 8}, {"a": 3}, {"a": 4, "b": 16, "c": 2}])
def test_any_number_of_rows_is_answered_row_by_row_as_each_alone(sizes: dict[str, int], tmp_path: Path) -> None:
    network = linear(RANDOM.normal(size=(16, 8)))
    fixed = {name: {"N": rows} for name, rows in sizes.items()}
    runner = opened(dict.fromkeys(sizes, network), tmp_path, sizes=fixed).runner()
    sent = RANDOM.normal(size=(20, 16)).astype(np.float32)
    alone = [runner.run({"x": sent[index : index + 1]})["y"] for index in range(20)]
    for rows in range(21):
        answer = runner.run({"x": sent[:rows]})["y"]
        assert answer.shape == (rows, 8)
        assert answer.tobytes() == b"".join(one.tobytes() for one in alone[:rows])


def test_rows_are_filled_up_with_rows_that_came_and_not_with_made_up_ones(tmp_path: Path) -> None:
    """A batch that is filled up with zeros would be refused: 0 is no index here."""
    shifted = model(
        [node("Add", ["x", "minus"], ["i"]), node("Gather", ["table", "i"], ["y"])],
        [value("x", "int64", ["N"])],
        [value("y", "float32", ["N"])],
        {"minus": np.array([-5]), "table": np.array([10, 20, 30], np.float32)},
    )
    runner = opened({"a": shifted}, tmp_path, sizes={"a": {"N": 4}}).runner()
    assert runner.run({"x": np.array([5, 7])})["y"].tolist() == [10, 30]


def test_a_file_that_mixes_the_rows_of_a_batch_gets_one_row_at_a_time(tmp_path: Path) -> None:
    mixing = model(
        [node("Gather", ["x", "first"], ["f"]), node("Add", ["x", "f"], ["y"])],
        [value("x")],
        [value("y")],
        {"first": np.array([0])},
    )
    runner = opened({"a": mixing}, tmp_path).runner()
    assert runner.run({"x": np.array([[1, 2], [5, 7]], np.float32)})["y"].tolist() == [[2, 4], [10, 14]]


def test_other_functions_of_the_file_are_left_alone(tmp_path: Path) -> None:
    functions = {"train": gather(), "serve": doubling(), "serve_too": adding(1)}
    signature = read_onnx(save(doubling(), tmp_path / "m.onnx")).signature
    runner = opened(functions, tmp_path, signature).runner()
    assert runner.run({"x": np.array([[1, 2]], np.float32)})["y"].tolist() == [[2, 4]], "the first that fits"


def test_a_file_without_functions_is_found_by_the_names_of_its_tensors(tmp_path: Path) -> None:
    def subtracting(a: str, b: str, y: str) -> ModelProto:
        nodes = [node("Mul", [b, "minus"], ["m"]), node("Add", [a, "m"], [y])]
        return model(nodes, [value(b), value(a)], [value(y)], {"minus": np.array([-1], np.float32)})

    signature = read_onnx(save(subtracting("a", "b", "y"), tmp_path / "m.onnx")).signature
    names = ("serving_default_a:0", "serving_default_b:0", "StatefulPartitionedCall:0")
    runner = opened({"": subtracting(*names)}, tmp_path, signature).runner()
    sent = {"a": np.array([[5, 5], [0, 1]], np.float32), "b": np.array([[1, 2], [3, 4]], np.float32)}
    assert runner.run(sent)["y"].tolist() == [[4, 3], [-3, -3]]


def test_one_input_and_one_output_may_be_called_anything(tmp_path: Path) -> None:
    renamed = Signature((TensorSpec("image", "float32", (-1, 2)),), (TensorSpec("logits", "float32", (-1, 2)),), 0)
    runner = opened({"a": identity("float32", ["N", 2])}, tmp_path, renamed).runner()
    assert runner.run({"image": np.ones((1, 2), np.float32)})["logits"].tolist() == [[1, 1]]


def one(dtype: str, shape: tuple[int, ...] | None) -> Signature:
    batch = 0 if shape and shape[0] == -1 else None
    return Signature((TensorSpec("x", dtype, shape),), (TensorSpec("y", dtype, shape),), batch)


@pytest.mark.parametrize(
    ("signature", "told"),
    [
        (one("float32", (-1, 3)), r"'x' of the file has the shape \[-1, 2\], its signature says \[-1, 3\]"),
        (one("float32", (-1, -1)), r"'x' of the file has the shape \[-1, 2\], its signature says \[-1, -1\]"),
        (one("float32", (-1,)), r"'x' of the file has the shape \[-1, 2\], its signature says \[-1\]"),
        (one("float32", None), "its signature says any rank"),
        (one("int32", (-1, 2)), "'x' of the file is float32, its signature says int32"),
        (one("string", (-1, 2)), "LiteRT runs no text here"),
    ],
)
def test_what_does_not_fit_the_signature_is_said(signature: Signature, told: str, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=told):
        opened({"a": identity("float32", ["N", 2])}, tmp_path, signature)


def test_inputs_of_different_numbers_of_rows_are_no_batch(tmp_path: Path) -> None:
    ends = [value("a", shape=("M", 2)), value("b", shape=("N", 2))], [value("y", shape=("N", 2))]
    adding_two = model([node("Add", ["a", "b"], ["y"])], *ends)
    specs = tuple(TensorSpec(name, "float32", (-1, 2)) for name in "aby")
    with pytest.raises(LoadError, match=r"the shapes \[\[1, 2\], \[4, 2\]\], so no number of rows"):
        opened({"f": adding_two}, tmp_path, Signature(specs[:2], specs[2:], 0), sizes={"f": {"M": 1, "N": 4}})


def test_integers_of_64_bits_are_computed_in_32_where_they_fit(tmp_path: Path) -> None:
    narrow = {"x": "int32", "y": "int32"}
    runner = opened({"a": identity("int64", ["N"])}, tmp_path, stored_as=narrow).runner()
    answer = runner.run({"x": np.array([-(2**31), 2**31 - 1])})["y"]
    assert answer.dtype == np.int64
    assert answer.tolist() == [-(2**31), 2**31 - 1]
    for beyond in (2**31, -(2**31) - 1, 2**62):
        with pytest.raises(InputRefused, match=f"'x' holds values from .*{beyond}.* 32 bits"):
            runner.run({"x": np.array([0, beyond])})


@pytest.mark.parametrize(("dtype", "zero_point"), [("int8", -128), ("int8", 3), ("uint8", 7), ("int16", 0)])
def test_floats_that_the_file_keeps_as_integers_are_quantized_by_the_formula(
    dtype: str, zero_point: int, tmp_path: Path
) -> None:
    how, ends = Quantized(dtype, 0.5, zero_point), np.iinfo(dtype)
    runner = opened({"a": identity("float32", ["N"])}, tmp_path, quantized={"x": how, "y": how}).runner()
    # Halves of the step are ties, and go to the even integer; 1e38 and infinity saturate.
    sent = np.array([0, 0.25, 0.75, -0.25, -0.75, 1.24, 1.26, 1e38, -1e38, np.inf, -np.inf], np.float32)
    with np.errstate(over="ignore"):
        expected = np.clip(np.rint(sent / np.float32(0.5)) + zero_point, ends.min, ends.max)
    assert runner.run({"x": sent})["y"].tolist() == ((expected - zero_point) * 0.5).tolist()


def test_the_files_own_quantizing_gives_the_same_integers(tmp_path: Path) -> None:
    how = Quantized("int8", 0.0213, 11)
    sent = RANDOM.uniform(-4, 4, (512,)).astype(np.float32)
    floats = {"a": identity("float32", ["N"])}
    theirs = opened(floats, tmp_path, quantized={"y": how}).runner().run({"x": sent})["y"]
    ours = opened(floats, tmp_path, quantized={"x": how, "y": how}).runner().run({"x": sent})["y"]
    assert theirs.tobytes() == ours.tobytes()


def test_nan_has_no_integer_and_is_refused_where_there_are_such(tmp_path: Path) -> None:
    sent = np.array([1, np.nan], np.float32)
    floats = {"a": identity("float32", ["N"])}
    assert np.isnan(opened(floats, tmp_path).runner().run({"x": sent})["y"][1])
    with pytest.raises(InputRefused, match="'x' holds NaN"):
        opened(floats, tmp_path, quantized={"y": Quantized("int8", 0.1, 0)}).runner().run({"x": sent})


def test_what_a_failure_is_said_by_does_not_grow_with_the_failures(tmp_path: Path) -> None:
    runner = opened({"a": gather()}, tmp_path).runner()
    told = set()
    for _ in range(3000):  # LiteRT itself says all its failures again at each one
        with pytest.raises(InputRefused) as refused:
            runner.run({"x": np.array([0, 99])})
        told.add(str(refused.value))
    assert len(told) == 1, told
    assert told.pop().startswith("the model refused these values ('x' from 0 to 99): gather index out of bounds")
    assert runner.run({"x": np.array([2])})["y"].tolist() == [30]


def test_a_file_that_keeps_a_state_is_not_loaded(tmp_path: Path) -> None:
    ends = [value("x", shape=(1, 1, 1))], [value("y", shape=(1, 1, 1))]
    accumulating = model([node("Accumulate", ["x"], ["y"])], *ends)
    with pytest.raises(LoadError, match="gives another 'y' when it is run on the same rows again"):
        opened({"a": accumulating}, tmp_path, one("float32", (1, 1, 1)))


def test_a_file_that_fails_whatever_comes_in_is_not_loaded(tmp_path: Path) -> None:
    shapes = [value("x", shape=("N", 2)), value("z", shape=("N", 3))]
    misfit = model([node("Add", ["x", "z"], ["y"])], shapes, [value("y", shape=("N", 2))])
    with pytest.raises(LoadError, match=r"the file cannot be run: the model refused the dimensions"):
        opened({"a": misfit}, tmp_path, sizes={"a": {"N": 2}})


def test_a_file_that_ends_the_process_which_loads_it_is_proved_to(tmp_path: Path) -> None:
    signature = read_onnx(save(doubling(), tmp_path / "m.onnx")).signature
    path = tmp_path / "m.tflite"
    path.write_bytes(tflite({"a": doubling()}, subgraph_of={"a": 9}))
    with pytest.raises(ModelFileError, match=r"ends the process which reads it \(SIGSEGV\)"):
        prove_it_loads("litert", path, signature)
    path.write_bytes(tflite({"a": doubling()}))
    prove_it_loads("litert", path, signature)


def test_digits_in_int8_are_read_as_well_as_in_fp32() -> None:
    signature = read_onnx(DIGITS / "digits.onnx").signature
    with np.load(DIGITS / "test.npz") as rows:
        sent, labels = {"image": rows["image"]}, rows["labels"]
    floats, integers = (
        open_engine(path, signature, instances=1, threads=1).runner().run(sent)["logits"]
        for open_engine, path in ((onnxruntime_engine.load, DIGITS / "digits.onnx"), (load, DIGITS_INT8))
    )
    assert integers.shape == floats.shape
    assert np.mean(integers.argmax(1) == labels) >= np.mean(floats.argmax(1) == labels) - 0.005
    assert 10 * np.log10(np.square(floats).sum() / np.square(floats - integers).sum()) > 25


def test_without_the_extra_a_variant_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    for name in ("ai_edge_litert.interpreter", "engines.litert_engine", "engines.litert_runner", "engines.litert_file"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(LoadError, match=r"octet-serving\[litert\]"):
        open_litert(DIGITS_INT8, read_onnx(DIGITS / "digits.onnx").signature, instances=1, threads=1)
