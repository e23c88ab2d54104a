"""Rows from `.csv` files: what streams out is what was written, and what does not fit is said with its line."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from engines.errors import DataError
from engines.quantize.open_rows import open_rows
from engines.quantize.rows import Batch, RowsSpec
from engines.signature import NUMPY_DTYPES, Signature, TensorSpec

Array = np.ndarray[Any, Any]
DTYPES = [name for name in NUMPY_DTYPES if name not in ("string", "bfloat16")]


def signature_of(**inputs: tuple[str, tuple[int, ...]]) -> Signature:
    return Signature(tuple(TensorSpec(name, *rest) for name, rest in inputs.items()), (), 0)


PAIRS = signature_of(x=("float32", (-1, 2)))


def read(path: Path, text: str, signature: Signature, rows: int = 1000) -> list[Batch]:
    file = path / "rows.csv"
    file.write_text(text, "utf-8")
    return list(open_rows(RowsSpec(str(file)), signature).batches(rows))


@given(
    arrays.arrays(
        st.sampled_from(DTYPES), arrays.array_shapes(min_dims=1, max_dims=3, max_side=5), elements={"allow_nan": False}
    ),
    st.integers(1, 7),
)
def test_what_was_written_comes_back(tmp_path_factory: pytest.TempPathFactory, written: Array, rows: int) -> None:
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    flat = written.reshape(len(written), -1)
    titles = ["x"] if written.ndim == 1 else [f"x[{index}]" for index in range(flat.shape[1])]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([titles, *flat.tolist()])
    signature = signature_of(x=(str(written.dtype), (-1, *written.shape[1:])))
    batches = list(open_rows(RowsSpec(str(path)), signature).batches(rows))
    found = np.concatenate([batch.inputs["x"] for batch in batches])
    assert found.dtype == written.dtype
    assert found.tolist() == written.tolist()


def test_a_csv_has_the_digest_of_the_same_rows_as_npz(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("labels,x[1],x[0]\n1,2.5,1\n0,-1,3\n")
    np.savez(tmp_path / "rows.npz", x=np.array([[1, 2.5], [3, -1]], np.float32), labels=[1, 0])
    digests = {open_rows(RowsSpec(str(tmp_path / f"rows.{kind}")), PAIRS).digest for kind in ("csv", "npz")}
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("labels", "dtype"), [(["1", "-2"], "int64"), (["1", "2.5"], "float64"), (["2.5", "cat"], "object")]
)
def test_labels_are_the_narrowest_that_all_of_them_fit(tmp_path: Path, labels: list[str], dtype: str) -> None:
    rows = "".join(f"0,0,{label}\n" for label in labels)
    (batch,) = read(tmp_path, f"x[0],x[1],labels\n{rows}", PAIRS)
    assert batch.labels is not None
    assert str(batch.labels.dtype) == dtype


def test_text_truths_bfloat16_and_shapes_are_read_as_the_model_takes_them(tmp_path: Path) -> None:
    signature = signature_of(
        t=("string", (-1,)), b=("bool", (-1, 2)), f=("bfloat16", (-1, 1)), m=("int8", (-1, 2, -1)), u=("uint8", (-1, 1))
    )
    header = "t,b[0],b[1],f,m[0],m[1],m[2],m[3],u\n"
    (batch,) = read(tmp_path, f'{header}"a, b",true,0,1.5,1,2,3,4,255\nc,False,1,2.5,-1,-2,-3,-4,0\n', signature)
    assert batch.inputs["t"].tolist() == ["a, b", "c"]
    assert batch.inputs["b"].tolist() == [[True, False], [False, True]]
    assert batch.inputs["f"].tolist() == [[1.5], [2.5]]
    assert batch.inputs["m"].tolist() == [[[1, 2], [3, 4]], [[-1, -2], [-3, -4]]]
    assert batch.inputs["u"].tolist() == [[255], [0]]
    assert batch.labels is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "is empty", id="empty"),
        pytest.param("x[0],x[1]\n", "no rows", id="no line"),
        pytest.param("x[0],x[1]\n1,2\n3\n", "line 3, has 1 cells", id="short line"),
        pytest.param("x[0],x[1]\n1,abc\n", "rows 2 to 2: .*'abc'", id="no number"),
        pytest.param("x[0],x[1]\n1,\n", "could not convert", id="empty cell"),
        pytest.param("x[0],x[2]\n1,2\n", r"no column 'x\[1\]'", id="a column is missing"),
        pytest.param("x[0],x[0]\n1,2\n", "two columns", id="twice"),
        pytest.param("x[0];x[1]\n1;2\n", "has .;. between its cells; write it with commas", id="semicolons"),
        pytest.param("x[0],x[1],y\n1,2,3\n", "hold .*'y'.*expected", id="stray column"),
        pytest.param("x\n1\n", r"shape \[1\], the model takes \[2\]", id="too few columns"),
        pytest.param('x[0],x[1]\n1,"2\n', "cannot be read as CSV", id="open quote"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(tmp_path, text, PAIRS)


@pytest.mark.parametrize(("dtype", "cell"), [("int8", "300"), ("uint8", "-1"), ("int64", "1.5"), ("bool", "2")])
def test_a_cell_that_its_dtype_cannot_hold_is_said(tmp_path: Path, dtype: str, cell: str) -> None:
    with pytest.raises(DataError, match="must hold one value of its input's dtype"):
        read(tmp_path, f"x\n{cell}\n", signature_of(x=(dtype, (-1,))))


def test_a_file_of_other_bytes_is_said(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as CSV"):
        open_rows(RowsSpec(str(tmp_path / "rows.csv")), PAIRS)
