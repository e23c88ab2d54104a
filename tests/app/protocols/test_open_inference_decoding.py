"""OpenInference.decode against a slow and obvious reader of the same request: bit for bit the same, or both refuse."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.errors import Malformed, text_for
from app.protocols.codec import Decoded
from app.protocols.open_inference import OpenInference
from app.protocols.shared_memory import Regions
from engines.signature import NUMPY_DTYPES, Signature, TensorSpec
from tests.app.protocols.json_reference import Refused, bits
from tests.app.protocols.open_inference_reference import DATATYPES, reference
from tests.app.protocols.open_inference_requests import OUTPUTS, Request, requests, signatures

# The module says so once for its process; pytest begins every test with filters of its own.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")


def codec_of(signature: Signature) -> OpenInference:
    return OpenInference(signature, Regions(enabled=False))


def decode(codec: OpenInference, body: bytes, json_bytes: int | None) -> Decoded:
    """As a request is decoded: the quick way where it has an opinion, else the exact one."""
    return codec.decode_quickly(body, json_bytes) or codec.decode_exactly(body, json_bytes)


cases = signatures().flatmap(lambda signature: st.tuples(st.just(signature), requests(signature)))
X = Signature((TensorSpec("x", "float32", (3,)),), OUTPUTS, None)
X23 = Signature((TensorSpec("x", "float32", (-1, 2, 3)),), OUTPUTS, 0)
FLAT = b'{"inputs":[{"name":"x","shape":[1,2,3],"datatype":"FP32","data":%b}]}'
NAMED = b'{"inputs":[{"name":"x","shape":[3],"datatype":"FP32",%b}]}'


def told(decoded: Decoded) -> tuple[Any, ...]:
    own_id, outputs = decoded.form
    assert all(output.place is None for output in outputs)
    asked = tuple((output.name, output.binary, output.classes) for output in outputs)
    return bits(decoded.inputs), decoded.rows, own_id, asked, decoded.timeout_seconds, decoded.priority


def outcome(read: Callable[[], tuple[Any, ...]]) -> Any:
    try:
        return read()
    except (Malformed, Refused) as error:
        return "refused" if len(text_for(error)) < 4000 else "a refusal that quotes the whole body"


@given(cases)
@example((X, (NAMED % b'"data":[1,2,3],"data":[4,5,6]', None)))
@example((X, (NAMED % b'"data":[1,[2],3]', None)))
@example((X, (NAMED % b'"data":[[1,2,3]]', None)))
@example((X, (NAMED.replace(b"[3]", b"[[3]]") % b'"data":[1,2,3]', None)))
@example((X23, (FLAT % b"[[[1,2,3],[4,5,6]]]", None)))
@example((X23, (FLAT % b"[[[1,2],[3,4],[5,6]]]", None)))
@example((X23, (FLAT % b"[[1,2,3,4,5,6]]", None)))
@example((X23, (FLAT % b"[1,2,3,4,5,6]" + b"{}", None)))
@example((X23, (FLAT % b"[1,2,3,4,5,6]" + b"\0", len(FLAT) + 11)))
@example((X, (b'{"id":"a","id":"b",' + NAMED[1:] % b'"data":[1,2,3]', None)))
@example((X, (b'{"own":{"a":1,"a":2},' + NAMED[1:] % b'"data":[1,2,3]', None)))
@settings(max_examples=500, deadline=None)
def test_decode_reads_what_the_reference_reads(case: tuple[Signature, Request]) -> None:
    """Twice, since a header is read once and then known."""
    signature, request = case
    codec = codec_of(signature)
    expected = outcome(lambda: reference(signature, *request))
    for _ in range(2):
        assert outcome(lambda: told(decode(codec, *request))) == expected


@given(cases)
@settings(max_examples=500, deadline=None)
def test_the_quick_way_has_no_opinion_or_that_of_the_exact_way(case: tuple[Signature, Request]) -> None:
    signature, request = case
    codec = codec_of(signature)

    def quickly() -> Any:
        decoded = codec.decode_quickly(*request)
        return None if decoded is None else told(decoded)

    quick = outcome(quickly)
    if quick is not None:
        assert quick == outcome(lambda: told(codec.decode_exactly(*request)))


@given(signatures().flatmap(lambda s: st.tuples(st.just(s), st.lists(requests(s), min_size=2, max_size=5))))
@settings(max_examples=300, deadline=None)
def test_what_came_before_changes_nothing(case: tuple[Signature, list[Request]]) -> None:
    """Headers of one request before the tensors of another, too."""
    signature, made = case
    codec = codec_of(signature)
    mixed = [(a[: n or 0] + b[m or 0 :], n) for a, n in made for b, m in made]
    for request in [*made, *mixed, *made]:
        assert outcome(lambda request=request: told(decode(codec, *request))) == outcome(  # type: ignore[misc]
            lambda request=request: told(codec_of(signature).decode_exactly(*request))  # type: ignore[misc]
        )


NUMERIC = sorted(dtype for dtype in NUMPY_DTYPES if dtype not in ("string", "bool"))


@pytest.mark.parametrize("dtype", NUMERIC)
@pytest.mark.parametrize("rank", [1, 2, 3, 4])
@pytest.mark.parametrize("is_flat", [True, False])
def test_plain_numbers_go_the_quick_way(dtype: str, rank: int, is_flat: bool) -> None:
    signature = Signature((TensorSpec("x", dtype, (-1,) * rank),), OUTPUTS, None)
    value = np.full((2,) * rank, 7, int)
    entry = {"name": "x", "shape": value.shape, "datatype": DATATYPES[dtype]}
    entry = entry | {"data": (value.ravel() if is_flat else value).tolist()}
    for document in (
        {"inputs": [entry]},
        {"inputs": [entry], "id": "7"},
        {"inputs": [entry], "id": "", "outputs": [{"name": "y", "parameters": {"binary_data": False}}]},
        {"inputs": [entry | {"parameters": {"content_type": "np"}}], "parameters": {"own": 1}},
    ):
        quick = codec_of(signature).decode_quickly(json.dumps(document).encode())
        assert quick is not None
        assert bits(quick.inputs) == bits({"x": np.full(value.shape, 7, NUMPY_DTYPES[dtype])})


@given(signatures(), st.binary(max_size=60) | st.text(alphabet='[]{}",:1e.-NItfy ', max_size=40).map(str.encode))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_read_or_refused(signature: Signature, body: bytes) -> None:
    codec = codec_of(signature)
    for json_bytes in (None, 0, len(body) // 2, len(body), len(body) + 1):
        expected = outcome(lambda json_bytes=json_bytes: reference(signature, body, json_bytes))  # type: ignore[misc]
        assert outcome(lambda n=json_bytes: told(decode(codec, body, n))) == expected  # type: ignore[misc]
