"""Raw tensors against struct, byte by byte."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from app.errors import Malformed, text_for
from app.protocols.binary_tensors import check_size, raw, read, read_alone
from engines.signature import NUMPY_DTYPES, TensorSpec
from tests.app.protocols.json_reference import Refused
from tests.app.protocols.open_inference_reference import from_bytes

Array = np.ndarray[Any, Any]
TEXT = TensorSpec("t", "string", None)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


def objects(values: list[str]) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    return array


@given(st.lists(texts), st.binary(max_size=5), st.binary(max_size=5))
def test_texts_come_back_wherever_they_lie(values: list[str], before: bytes, after: bytes) -> None:
    written = bytes(raw(objects(values)))
    assert written == b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in values)
    data = before + written + after
    assert read(TEXT, (len(values),), data, len(before), len(before) + len(written)).tolist() == values


@given(st.integers(0, 4), st.binary(max_size=30))
def test_any_bytes_are_texts_or_refused(count: int, data: bytes) -> None:
    try:
        expected: Any = from_bytes(TEXT, (count,), data, len(data))[0].tolist()
    except Refused:
        expected = "refused"
    try:
        check_size(TEXT, (count,), len(data))
        found: Any = read(TEXT, (count,), data, 0, len(data)).tolist()
    except Malformed:
        found = "refused"
    assert found == expected


@given(
    st.sampled_from(sorted(set(NUMPY_DTYPES) - {"string", "bool"})),
    npst.array_shapes(min_dims=0, min_side=0, max_side=3),
    st.integers(0, 9),
    st.data(),
)
def test_numbers_come_back_aligned_wherever_they_lie(
    dtype: str, shape: tuple[int, ...], start: int, data: st.DataObject
) -> None:
    spec = TensorSpec("x", dtype, None)
    size = int(np.prod(shape)) * NUMPY_DTYPES[dtype].itemsize
    body = data.draw(st.binary(min_size=start + size, max_size=start + size))
    check_size(spec, shape, size)
    found = read(spec, shape, body, start, start + size)
    assert (found.shape, found.dtype) == (shape, NUMPY_DTYPES[dtype])
    assert found.flags.aligned
    assert bytes(raw(found)) == body[start:]


def test_numbers_that_lie_well_are_not_copied() -> None:
    body = np.arange(8, dtype="float32").tobytes()
    found = read(TensorSpec("x", "float32", None), (2, 2), body, 16, 32)
    assert found.tolist() == [[4, 5], [6, 7]]
    assert found.__array_interface__["data"][0] == np.frombuffer(body, np.uint8)[16:].__array_interface__["data"][0]


@pytest.mark.parametrize("array", [np.zeros((3, 4)).T, np.arange(9)[::2], np.array(5.0), np.zeros((0, 3))])
def test_the_memory_layout_does_not_show(array: Array) -> None:
    assert bytes(raw(array)) == array.copy(order="C").tobytes()


def test_a_bool_is_true_unless_its_byte_is_0() -> None:
    found = read(TensorSpec("b", "bool", None), (2, 2), b"x\1\0\2\xff", 1, 5)
    assert found.dtype == np.bool_
    assert found.view(np.uint8).tolist() == [[1, 0], [1, 1]], "engines see no other byte than 0 and 1"


def told(read: Any) -> str:
    with pytest.raises(Malformed) as caught:
        read()
    return text_for(caught.value)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\1\0\0\0a\1\0\0", "expected 2 texts, each after its length in four bytes; number 2 is cut off by the end"),
        (b"\1\0\0\0a\5\0\0\0b", "number 2 is cut off by the end of the tensor"),
        (b"\xff\xff\xff\xff    ", "number 1 is cut off by the end of the tensor"),
        (b"\0\0\0\0\0\0\0\0a", "1 bytes follow its 2 texts, expected none"),
        (b"\1\0\0\0\xff\0\0\0\0", "text number 1 is not UTF-8"),
    ],
)
def test_a_refusal_of_texts_says_where(data: bytes, expected: str) -> None:
    for after in (b"", b"the next tensor"):
        assert expected in told(lambda after=after: read(TEXT, (2,), data + after, 0, len(data)))


@pytest.mark.parametrize(
    ("dtype", "shape", "size", "expected"),
    [
        (
            "float32",
            (2,),
            4,
            "mismatch for input 'x': expected 8 bytes for shape [2] of float32, got 4",
        ),
        ("string", (2,), 7, "expected at least 8 bytes for shape [2] of string, got 7"),
        ("string", (0, 2), 4, "expected 0 bytes for shape [0, 2] of string, got 4"),
        ("string", (2**62,), 100, f"expected at least {2**64} bytes"),
        ("int8", (2**40, 2**40), 100, f"expected {2**80} bytes"),
    ],
)
def test_a_size_that_is_not_the_shapes_is_refused_unread(
    dtype: str, shape: tuple[int, ...], size: int, expected: str
) -> None:
    assert expected in told(lambda: check_size(TensorSpec("x", dtype, None), shape, size))


# --- without a shape


@pytest.mark.parametrize(
    ("shape", "batched", "count", "expected"),
    [
        ((-1, 3), True, 3, (1, 3)),
        ((-1, -1, 2), True, 6, (1, 3, 2)),
        ((-1,), False, 5, (5,)),
        ((2, 3), False, 6, (2, 3)),
        ((), False, 1, ()),
        ((2, -1), False, 0, (2, 0)),
    ],
)
def test_the_shape_of_a_raw_input_follows_from_its_size(
    shape: tuple[int, ...], batched: bool, count: int, expected: tuple[int, ...]
) -> None:
    found = read_alone(TensorSpec("x", "int16", shape), bytes(2 * count), batched=batched)
    assert (found.shape, found.dtype) == (expected, np.int16)


def test_a_raw_text_stands_without_its_length() -> None:
    for shape, batched in (((-1,), True), ((-1, 1), True), ((1,), False), ((), False)):
        found = read_alone(TensorSpec("t", "string", shape), "grüße".encode(), batched=batched)
        assert found.ravel().tolist() == ["grüße"]


@pytest.mark.parametrize(
    ("dtype", "shape", "batched", "size", "expected"),
    [
        ("float32", None, False, 4, "can not be deduced, its rank is unknown: send a JSON header with the shape"),
        ("float32", (-1, -1), False, 4, "can not be deduced, [?, ?] has more than one variable-sized dimension"),
        ("float32", (-1, 3), True, 24, "expected 12 bytes for shape [1, 3] of float32, got 24"),
        ("float32", (2, -1), False, 12, "expected 8 bytes for shape [2, 1] of float32, got 12"),
        ("float32", (0, -1), False, 4, "expected 0 bytes"),
        ("string", (-1, 2), True, 4, "is one text, the model wants [1, 2]: send a JSON header with the shape"),
        ("string", (-1,), False, 4, "is one text, the model wants [?]"),
    ],
)
def test_a_raw_input_that_could_mean_several_things_is_refused(
    dtype: str, shape: tuple[int, ...] | None, batched: bool, size: int, expected: str
) -> None:
    assert expected in told(lambda: read_alone(TensorSpec("x", dtype, shape), bytes(size), batched=batched))
