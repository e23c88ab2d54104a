"""Requests of very many lists, objects or wishes: what the event loop reads of them, and what it leaves to a thread.

How lists are nested is seen by walking through them, or by their brackets where there are many. Both mean the same.
"""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.protocols import json_quick
from app.protocols.open_inference import OpenInference
from app.protocols.shared_memory import Regions
from app.protocols.tfserving import _MOST_ITEMS, TfServing
from engines.signature import Signature, TensorSpec
from tests.app.protocols import test_decoding, test_open_inference_decoding
from tests.app.protocols.json_reference import bits
from tests.app.protocols.open_inference_requests import OUTPUTS

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")

# What is patched is so for all examples of a test.
ALL_ALIKE = settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def by_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few lists there are, their brackets are looked at."""
    monkeypatch.setattr(json_quick, "_FEW_LISTS", 0)
    monkeypatch.setattr(json_quick, "_LONG_LIST_BYTES", math.inf)


@pytest.fixture
def bracket_checks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes that were compared with brackets."""
    seen: list[tuple[int, ...]] = []
    check = json_quick._check_brackets

    def spy(shape: tuple[int, ...], lists: int, text: bytes) -> None:
        seen.append(shape)
        check(shape, lists, text)

    monkeypatch.setattr(json_quick, "_check_brackets", spy)
    return seen


def v1(*shape: int, names: str = "x") -> TfServing:
    return TfServing(Signature(tuple(TensorSpec(name, "int32", shape) for name in names), (), 0))


def v2(*shape: int, names: str = "x") -> OpenInference:
    inputs = tuple(TensorSpec(name, "int32", shape) for name in names)
    return OpenInference(Signature(inputs, OUTPUTS, 0), Regions(enabled=False))


def infer(data: Any, shape: tuple[int, ...], names: str = "x", **more: Any) -> dict[str, Any]:
    return {"inputs": [{"name": name, "shape": shape, "datatype": "INT32", "data": data} for name in names], **more}


# --- the same, read by brackets


@given(test_decoding.cases)
@ALL_ALIKE
@pytest.mark.usefixtures("by_brackets")
def test_predict_bodies_mean_the_same(case: tuple[Signature, bytes]) -> None:
    signature, body = case
    agrees(TfServing(signature), body)


@given(test_open_inference_decoding.cases)
@ALL_ALIKE
@pytest.mark.usefixtures("by_brackets")
def test_infer_requests_mean_the_same(case: tuple[Signature, tuple[bytes, int | None]]) -> None:
    signature, request = case
    agrees(test_open_inference_decoding.codec_of(signature), *request)


def agrees(codec: TfServing | OpenInference, body: bytes, json_bytes: int | None = None) -> bool:
    """Whether the quick way has an opinion, which is that of the exact one then."""
    try:
        quick = codec.decode_quickly(body, json_bytes)
    except Exception as error:  # noqa: BLE001  the other one must say the same
        with pytest.raises(type(error)):
            codec.decode_exactly(body, json_bytes)
        return True
    if quick is not None:
        exact = codec.decode_exactly(body, json_bytes)
        assert bits(quick.inputs) == bits(exact.inputs)
    return quick is not None


# Of lists alone, so that what is ragged often has as many of them, and as many numbers, as a tensor would.
nests = st.recursive(st.just(1), lambda below: st.lists(below, max_size=3), max_leaves=8)


@given(nests, st.sampled_from([(-1, 2), (-1, 1), (-1, 2, 2), (-1, -1, 1), (-1, 1, 1, 2)]), st.sampled_from(["", " "]))
@example([[1], [1, 1, 1]], (-1, 2), "")
@example([[1, 1, 1], []], (-1, 1), "")
@example([[[1], [1]], [[1, 1]]], (-1, -1, 1), "")
@example([[[1, 1], 1], [1]], (-1, 2), "")
@ALL_ALIKE
@pytest.mark.usefixtures("by_brackets")
def test_no_ragged_lists_pass_for_a_tensor(nest: Any, shape: tuple[int, ...], blank: str) -> None:
    text = json.dumps(nest, separators=(f"{blank},{blank}", ":")).replace("[", f"[{blank}")
    for body in ('{"instances":%s}', '{"inputs":%s,"signature_name":""}', '{"inputs":{"x":%s}}'):
        agrees(v1(*shape), (body % text).encode())
    for tensor in ([2, 2], [4, 1], [2, 2, 1], [1, 1, 1, 2]):
        document = json.dumps(infer("DATA", tuple(tensor))).replace('"DATA"', text)
        agrees(v2(*shape), document.encode())


@pytest.mark.parametrize(
    "text",
    [
        '{"id":"[[,],[,]]","inputs":[{"name":"x","shape":[2,2],"datatype":"INT32","data":[[1,2,3],[4]]}]}',
        '{"id":"[[,],[,]]","inputs":[{"name":"x","shape":[2,2],"datatype":"INT32","data":[[1,2,3,4]]}]}',
        '{"id":"[[,],","inputs":[{"name":"x","shape":[2,2],"datatype":"INT32","data":[[1],2,3,4]}]}',
        '{"parameters":{"a":[[1,2],[3,4]]},"inputs":[{"name":"x","shape":[2,2],"datatype":"INT32","data":[[1],2,3,4]}]}',
        '{"inputs":[{"name":"x","shape":[4,1,1,1,1],"datatype":"INT32","data":[[1],2,3,4]}]}',
        '{"inputs":[{"name":"x","shape":[1000000000,0],"datatype":"INT32","data":[[]]}]}',
    ],
)
@pytest.mark.usefixtures("by_brackets")
def test_brackets_elsewhere_are_not_the_tensors(text: str) -> None:
    assert not agrees(v2(-1, -1), text.encode())


# --- what is read where

MANY = np.arange(12_000)


@pytest.mark.parametrize("shape", [(6000, 2), (12_000, 1), (20, 200, 3), (2000, 3, 2)])
@pytest.mark.parametrize("indent", [None, 1])
def test_many_lists_are_not_walked_through(
    shape: tuple[int, ...], indent: int | None, bracket_checks: list[tuple[int, ...]]
) -> None:
    values = MANY.reshape(shape)
    dynamic = (-1,) * len(shape)
    for codec, document in (
        (v1(-1, *shape[1:]), {"instances": values.tolist()}),
        (v1(*dynamic), {"inputs": values.tolist(), "signature_name": "serving_default"}),
        (v2(*dynamic), infer(values.tolist(), shape, id="1", outputs=[{"name": "y"}])),
    ):
        decoded = codec.decode_quickly(json.dumps(document, indent=indent).encode())
        assert decoded is not None
        assert decoded.inputs["x"].tolist() == values.tolist()
        assert bracket_checks.pop() == shape


def test_long_lists_are_walked_through(bracket_checks: list[tuple[int, ...]]) -> None:
    image = np.full((2, 3, 224, 224), 1000)
    assert v1(-1, 3, 224, 224).decode_quickly(json.dumps({"instances": image.tolist()}).encode()) is not None
    assert bracket_checks == []


def test_more_than_the_loop_has_time_for_is_left_to_a_thread() -> None:
    objects = [{"x": [1]}] * _MOST_ITEMS
    assert v1(-1, 1).decode_quickly(json.dumps({"instances": objects}).encode()) is not None
    assert v1(-1, 1).decode_quickly(json.dumps({"instances": [*objects, {"x": [1]}]}).encode()) is None
    lists = [[1]] * json_quick._MOST_LISTS
    two = json.dumps({"inputs": {"x": lists, "y": lists}}).encode()
    assert v1(-1, 1, names="xy").decode_quickly(two) is None
    assert v2(-1, 1, names="xy").decode_quickly(json.dumps(infer(lists, (len(lists), 1), "xy")).encode()) is None


WISHES = [{"name": "y", "parameters": {"binary_data": True}}] * 1000


@pytest.mark.parametrize(
    "document",
    [
        infer([1], (1,), outputs=WISHES),
        infer([1], (1,), parameters={str(number): number for number in range(1000)}),
        infer([1], (1,), **{str(number): number for number in range(1000)}),
        {"inputs": [{**infer([1], (1,))["inputs"][0], "parameters": {str(number): 1 for number in range(1000)}}]},
        infer([1], (1,), names="x" * 1000),
        infer([1], (1,) * 1000),
    ],
    ids=["outputs", "parameters", "keys", "parameters of an input", "inputs", "sizes"],
)
def test_a_long_list_of_wishes_is_left_to_a_thread(document: dict[str, Any]) -> None:
    assert v2(-1).decode_quickly(json.dumps(document).encode()) is None
