"""Inference with tritonclient: every datatype, binary and JSON, what is asked for and what comes back."""

from typing import Any

import numpy as np
import pytest

from tests.clients.client import Client, Refused
from tests.clients.conftest import VERSIONS
from tests.clients.served import DATATYPES, assert_same, expected
from tests.clients.triton import infer, inference, request
from tests.clients.values import VALUES

X = np.array([[1, 2], [3, 0.5]], np.float32)
A, B = np.array([[1, 2.5, 3], [4, 5, 6]], np.float32), np.array([[3, 2, 1], [4, 5, 7]])


@pytest.mark.parametrize(("sent", "asked"), [(True, True), (False, False), (True, False), (False, True)])
@pytest.mark.parametrize(("datatype", "dtype"), DATATYPES.items())
def test_every_datatype_comes_back(triton: Client, datatype: str, dtype: str, *, sent: bool, asked: bool) -> None:
    x = VALUES[dtype]
    answer = infer(triton, f"same_{dtype}", {"x": x}, binary=sent, outputs=[{"name": "y", "binary": asked}])
    (output,) = answer.response["outputs"]
    assert output["datatype"] == datatype
    assert ("data" in output) is not asked
    wanted = expected(f"same_{dtype}", x=x)
    assert_same(answer.outputs, wanted)


def test_bfloat16_comes_back(triton: Client) -> None:
    x = VALUES["bfloat16"]
    answer = infer(triton, "same_bfloat16", {"x": x})
    assert answer.response["outputs"][0]["datatype"] == "BF16"
    assert_same(answer.outputs, {"y": x})


def test_without_outputs_all_come_as_binary(triton: Client) -> None:
    answer = infer(triton, "pair", {"a": A, "b": B})
    assert_same(answer.outputs, expected("pair", a=A, b=B))
    assert [output["parameters"] for output in answer.response["outputs"]] == [
        {"binary_data_size": 24},
        {"binary_data_size": 6},
    ]


def test_binary_and_json_mix_both_ways(triton: Client) -> None:
    outputs = [{"name": "sum", "binary": False}, {"name": "less", "binary": True}]
    answer = infer(triton, "pair", {"a": A, "b": B}, json=["a"], outputs=outputs)
    assert_same(answer.outputs, expected("pair", a=A, b=B))
    assert "data" in answer.response["outputs"][0]
    assert "parameters" not in answer.response["outputs"][0]


def test_only_the_outputs_that_are_asked_for_come(triton: Client) -> None:
    answer = infer(triton, "pair", {"a": A, "b": B}, outputs=[{"name": "less"}])
    assert_same(answer.outputs, {"less": A < B})


@pytest.mark.parametrize("length", [1, 7, 5000])
def test_a_dynamic_dimension(triton: Client, length: int) -> None:
    x = np.linspace(-1, 1, 3 * length, dtype=np.float32).reshape(3, length)
    assert_same(infer(triton, "size", {"x": x}).outputs, expected("size", x=x))


@pytest.mark.parametrize("binary", [True, False])
def test_a_model_without_batch_axis(triton: Client, *, binary: bool) -> None:
    x = np.array([1, -2, 3], np.float32)
    assert_same(infer(triton, "turned", {"x": x}, binary=binary).outputs, expected("turned", x=x))


@pytest.mark.parametrize("binary", [True, False])
def test_no_rows_at_all(triton: Client, *, binary: bool) -> None:
    x = X[:0]
    assert_same(infer(triton, "double", {"x": x}, binary=binary).outputs, expected("double", x=x))


@pytest.mark.parametrize("binary", [True, False])
def test_what_is_not_finite_comes_back(triton: Client, *, binary: bool) -> None:
    x = np.array([[np.nan, np.inf], [-np.inf, -0.0]], np.float32)
    outputs = [{"name": "y", "binary": binary}]
    assert_same(infer(triton, "same_float32", {"x": x}, binary=binary, outputs=outputs).outputs, {"y": x})


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
@pytest.mark.parametrize("way", ["request", "response"])
@pytest.mark.parametrize("binary", [True, False])
def test_compression(triton: Client, way: str, algorithm: str, *, binary: bool) -> None:
    x = np.arange(2000, dtype=np.float32).reshape(2, -1)
    outputs = [{"name": "y", "binary": binary}]
    options = {f"{way}_compression_algorithm": algorithm}
    assert_same(infer(triton, "size", {"x": x}, binary=binary, outputs=outputs, **options).outputs, {"y": x})


def test_an_error_is_readable_where_compression_was_asked_for(triton: Client) -> None:
    with pytest.raises(Refused, match="no model 'dooble'"):
        infer(triton, "dooble", {"x": X}, response_compression_algorithm="gzip")


@pytest.mark.parametrize("options", [
    {"request_id": "mine"},
    {"priority": 1},
    {"timeout": 10_000_000},
    {"sequence_id": 7, "sequence_start": True, "sequence_end": True},
    {"sequence_id": "seven"},
    {"parameters": {"text": "a", "whole": 3, "number": 0.5, "on": True}},
    {"headers": {"x-request-id": "mine"}},
    {"query_params": {"a": 1}},
], ids=lambda options: next(iter(options)))  # fmt: skip
def test_what_a_request_may_say(triton: Client, options: dict[str, Any]) -> None:
    answer = infer(triton, "double", {"x": X}, **options)
    assert_same(answer.outputs, expected("double", x=X))
    assert answer.response.get("id") == options.get("request_id")


def test_the_answer_says_which_model_it_is_of(triton: Client) -> None:
    response = infer(triton, "double", {"x": X}).response
    assert (response["model_name"], response["model_version"]) == ("double", "1.0.0")


@pytest.mark.parametrize(
    ("version", "means"), [("", "2.0.0"), ("1", "1.2.0"), ("1.0", "1.0.0"), ("1.2.0", "1.2.0"), ("2", "2.0.0")]
)
def test_a_version_is_exact_or_a_prefix(triton: Client, version: str, means: str) -> None:
    answer = infer(triton, "adding", {"x": X}, model_version=version)
    assert answer.response["model_version"] == means
    assert_same(answer.outputs, {"y": X + np.float32(VERSIONS[means])})


def test_requests_at_the_same_time_get_their_own_rows(triton: Client) -> None:
    xs = [np.full((1 + n % 3, 2), n, np.float32) for n in range(12)]
    answers = triton.ask("infer_together", *(request("double", {"x": x}, request_id=str(n)) for n, x in enumerate(xs)))
    for n, (x, answer) in enumerate(zip(xs, map(inference, answers), strict=True)):
        assert answer.response["id"] == str(n)
        assert_same(answer.outputs, {"y": x + x})


@pytest.mark.parametrize("binary", [True, False])
def test_classification(triton: Client, *, binary: bool) -> None:
    outputs = [{"name": "y", "class_count": 2, "binary": binary}]
    answer = infer(triton, "size", {"x": np.array([[1, 5, 3], [9, 7, -8]], np.float32)}, outputs=outputs)
    assert answer.response["outputs"][0]["datatype"] == "BYTES"
    wanted = [["5.000000:1", "3.000000:2"], ["9.000000:0", "8.000000:2"]]
    assert answer.outputs["y"].tolist() == wanted


def test_classification_of_whole_numbers_and_of_all_there_are(triton: Client) -> None:
    x = np.array([[9, 4]], np.int32)
    answer = infer(triton, "same_int32", {"x": x}, outputs=[{"name": "y", "class_count": 5}])
    assert answer.outputs["y"].tolist() == [["9:0", "4:1"]]
