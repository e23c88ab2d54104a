"""Rows from `.npz` files: what streams out is what was saved, and what does not fit is said."""

import io
import tracemalloc
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from engines.errors import DataError
from engines.quantize.open_rows import open_rows
from engines.quantize.rows import RowsSpec
from engines.signature import Signature, TensorSpec

Array = np.ndarray[Any, Any]
PAIRS = Signature((TensorSpec("x", "float32", (-1, 2)),), (TensorSpec("y", "float32", (-1, 2)),), 0)
DTYPES = ("float32", "float16", "int8", "uint64", "bool")


def save(path: Path, /, **columns: Any) -> RowsSpec:
    np.savez_compressed(path / "rows.npz", **columns)
    return RowsSpec(str(path / "rows.npz"))


@given(
    arrays.arrays(
        st.sampled_from(DTYPES), arrays.array_shapes(min_dims=1, max_dims=3, max_side=7), elements={"allow_nan": False}
    ),
    st.integers(1, 9),
    st.booleans(),
)
def test_what_was_saved_comes_back_in_batches(
    tmp_path_factory: pytest.TempPathFactory, saved: Array, rows: int, compressed: bool
) -> None:
    path = tmp_path_factory.mktemp("npz") / "rows.npz"
    (np.savez_compressed if compressed else np.savez)(path, x=saved, labels=np.arange(len(saved)))
    signature = Signature((TensorSpec("x", str(saved.dtype), (-1, *saved.shape[1:])),), (), 0)
    opened = open_rows(RowsSpec(str(path)), signature)
    batches = list(opened.batches(rows))
    assert opened.count == len(saved)
    assert [len(batch.inputs["x"]) for batch in batches[:-1]] == [rows] * (len(batches) - 1)
    assert np.concatenate([batch.inputs["x"] for batch in batches]).tolist() == saved.tolist()
    labels = [batch.labels for batch in batches if batch.labels is not None]
    assert np.concatenate(labels).tolist() == list(range(len(saved)))


@given(st.integers(1, 40), st.integers(0, 5))
def test_a_seed_chooses_the_same_rows(tmp_path_factory: pytest.TempPathFactory, most_rows: int, seed: int) -> None:
    path = save(tmp_path_factory.mktemp("npz"), x=np.arange(60, dtype=np.float32).reshape(30, 2)).path
    spec = RowsSpec(path, most_rows=most_rows, seed=seed)
    first, second = open_rows(spec, PAIRS), open_rows(spec, PAIRS)
    assert first.count == min(30, most_rows)
    assert first.digest == second.digest
    values = [float(batch.inputs["x"][0, 0]) for batch in first.batches(1)]
    assert values == sorted(set(values))
    assert values == [float(batch.inputs["x"][0, 0]) for batch in second.batches(1)]


def test_another_seed_chooses_other_rows(tmp_path: Path) -> None:
    path = save(tmp_path, x=np.arange(60, dtype=np.float32).reshape(30, 2)).path
    assert len({open_rows(RowsSpec(path, most_rows=5, seed=seed), PAIRS).digest for seed in range(4)}) == 4


def test_the_digest_tells_values_labels_and_names_apart(tmp_path: Path) -> None:
    zeros = np.zeros((2, 2), np.float32)
    one_label = open_rows(save(tmp_path, x=zeros, labels=[0, 1]), PAIRS).digest
    other_label = open_rows(save(tmp_path, x=zeros, labels=[1, 0]), PAIRS).digest
    no_label = open_rows(save(tmp_path, x=zeros), PAIRS).digest
    other_value = open_rows(save(tmp_path, x=zeros + 1), PAIRS).digest
    other_name = Signature((TensorSpec("z", "float32", (-1, 2)),), (), 0)
    renamed = open_rows(save(tmp_path, z=zeros), other_name).digest
    assert len({one_label, other_label, no_label, other_value, renamed}) == 5


def test_text_and_bfloat16_come_back_as_the_model_takes_them(tmp_path: Path) -> None:
    signature = Signature((TensorSpec("t", "string", (-1,)), TensorSpec("b", "bfloat16", (-1,))), (), 0)
    spec = save(tmp_path, t=np.array(["a", "bcd"]), b=np.array([1.5, 2.5], ml_dtypes.bfloat16))
    (batch,) = open_rows(spec, signature).batches(8)
    assert batch.inputs["t"].tolist() == ["a", "bcd"]
    assert batch.inputs["t"].dtype == object
    assert batch.inputs["b"].dtype == ml_dtypes.bfloat16
    assert batch.inputs["b"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize("row", [(1, 2), (2,)])
def test_a_model_of_one_row_takes_rows_with_and_without_its_axis(tmp_path: Path, row: tuple[int, ...]) -> None:
    signature = Signature((TensorSpec("x", "float32", (1, 2)),), (), None)
    (batch,) = open_rows(save(tmp_path, x=np.zeros((3, *row), np.float32)), signature).batches(8)
    assert batch.inputs["x"].shape == (3, 1, 2)


def test_an_input_called_labels_is_no_label(tmp_path: Path) -> None:
    signature = Signature((TensorSpec("labels", "string", (-1,)),), (), 0)
    rows = open_rows(save(tmp_path, labels=np.array(["a", "b", "c"])), signature)
    assert not rows.has_labels
    assert next(rows.batches(3)).inputs["labels"].dtype == object


def test_the_digest_tells_texts_apart_that_join_alike(tmp_path: Path) -> None:
    signature = Signature((TensorSpec("t", "string", (-1,)),), (), 0)
    pairs = (["a", "bc"], ["ab", "c"])
    assert len({open_rows(save(tmp_path, t=np.array(texts)), signature).digest for texts in pairs}) == 2


def test_fewer_values_than_the_header_says_are_told(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (3, 2)})
    with ZipFile(tmp_path / "rows.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue() + bytes(8))
    with pytest.raises(DataError, match="it ends early"):
        open_rows(RowsSpec(str(tmp_path / "rows.npz")), PAIRS)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        pytest.param({"x": np.zeros((3, 2))}, "'x' is float64, the model takes float32", id="dtype"),
        pytest.param({"x": np.zeros((3, 5), np.float32)}, r"shape \[5\], the model takes \[2\]", id="shape"),
        pytest.param({"y": np.zeros((3, 2), np.float32)}, r"hold \['y'\].*inputs \['x'\]", id="name"),
        pytest.param({"x": np.zeros((3, 2), np.float32), "labels": [1]}, "one entry a row", id="labels"),
        pytest.param({"x": np.zeros((0, 2), np.float32)}, "no rows", id="empty"),
        pytest.param({}, "no rows", id="nothing"),
        pytest.param({"x": np.float32(1)}, "single value", id="scalar"),
        pytest.param({"x": np.array([[1, "a"]], object)}, "Python objects", id="objects"),
        pytest.param({"x": np.asfortranarray(np.zeros((3, 2), np.float32))}, "ascontiguousarray", id="fortran"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, columns: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        open_rows(save(tmp_path, **columns), PAIRS)


def test_a_broken_file_is_said(tmp_path: Path) -> None:
    random = np.random.default_rng(0).normal(size=(5000, 2)).astype(np.float32)
    path = Path(save(tmp_path, x=random).path)
    whole = path.read_bytes()
    for broken in (b"", b"no zip", whole[: len(whole) // 2], whole[:5000] + b"\0" * 200 + whole[5200:]):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=r"rows\.npz cannot be read"):
            open_rows(RowsSpec(str(path)), PAIRS)


def test_a_large_set_never_lies_in_memory_whole(tmp_path: Path) -> None:
    signature = Signature((TensorSpec("x", "float32", (-1, 256)),), (), 0)
    spec = save(tmp_path, x=np.zeros((1 << 15, 256), np.float32))  # 32 MiB
    tracemalloc.start()
    try:
        assert sum(len(batch.inputs["x"]) for batch in open_rows(spec, signature).batches(64)) == 1 << 15
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()
