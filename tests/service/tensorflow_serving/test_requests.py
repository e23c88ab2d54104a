"""TensorFlow Serving's predict request: its two forms, its values without coercion, the order of its errors."""

import base64
import json
from typing import Any

import pytest

from tests.service.tensorflow_serving.conftest import Ask, Predict, Refuse


def packed(text: str) -> dict[str, str]:
    return {"b64": base64.b64encode(text.encode()).decode()}


# --- the body


@pytest.mark.parametrize("name", [{}, {"signature_name": ""}, {"signature_name": "serving_default"}])
def test_signature_name_is_optional_and_other_keys_are_ignored(predict: Predict, name: dict[str, str]) -> None:
    assert predict("float32", {"x": [[]], **name, "instances": [1], "context": {}}) == {"predictions": [1.0]}
    assert predict("float32", {**name, "inputs": [1], "predictions": None}) == {"outputs": [1.0]}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "JSON parse error: the document is empty"),
        (b" \n", "JSON parse error: the document is empty"),
        (b"instances=1", "JSON parse error: "),
        (b'{"instances": [1]', "JSON parse error: "),
        (b'{"instances": [1,]}', "JSON parse error: "),
        (b"[" * 65_000, "JSON parse error: nested too deep"),
        (b'{"instances": ' + b"[" * 200_000, "JSON parse error: nested too deep"),
        (b'{"instances": [1], "x": "\xff"}', "JSON parse error: byte 25 of the body is not UTF-8"),
        ([{"instances": [1]}], "the body must be a JSON object"),
        ("instances", "the body must be a JSON object"),
        ({"instances": [1], "inputs": [1]}, "exactly one of 'instances' (rows) and 'inputs' (columns)"),
        ({"rows": [1]}, "exactly one of 'instances' (rows) and 'inputs' (columns)"),
        ({"instances": [1], "signature_name": 5}, "'signature_name' must be a string"),
        ({"instances": [1], "signature_name": None}, "'signature_name' must be a string"),
        ({"instances": [1], "signature_name": "other"}, "there is no signature 'other'"),
    ],
)
def test_a_body_of_another_form_is_refused(refuse: Refuse, body: object, told: str) -> None:
    assert told in refuse("float32", body)


def test_a_byte_order_mark_and_what_follows_the_closing_brace_are_ignored(predict: Predict) -> None:
    for body in (
        b'\xef\xbb\xbf{"instances": [1]}',
        b'{"instances": [1]} }',
        b'{"instances": [1]}{"instances": []}',
        b'{"instances": [1]}\xff\x00',
        b'\xef\xbb\xbf\n{"instances": [1]}"\xc3',
    ):
        assert predict("float32", body) == {"predictions": [1.0]}


BROKEN: dict[str, bytes] = {
    "no JSON": b"{",
    "no object": b"[]",
    "no body": b"",
    "signature_name is no string": b'{"signature_name": 5}',
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("model", ["nobody", "float32/versions/9", "float32/labels/none"])
def test_a_broken_body_is_told_before_an_unknown_model(refuse: Refuse, model: str, body: bytes) -> None:
    assert refuse(model, body) == refuse("float32", body)


@pytest.mark.parametrize("body", [{"instances": "of nobody"}, {"signature_name": "other"}, {}])
def test_an_unknown_model_is_told_before_signature_and_inputs(refuse: Refuse, body: object) -> None:
    assert refuse("nobody", body, 404).startswith("no model 'nobody' is served here")
    assert refuse("float32/versions/9", body, 404).startswith("model 'float32' has no version '9' here")
    assert refuse("float32/labels/none", body).startswith("unrecognized version label 'none'")


# --- rows: "instances"


def test_a_row_of_one_input_is_its_value_or_an_object(predict: Predict) -> None:
    answer = {"predictions": [[1.0, 2.0], [3.0, 4.0]]}
    assert predict("matrix", {"instances": [[1, 2], [3, 4]]}) == answer
    assert predict("matrix", {"instances": [{"x": [1, 2]}, {"x": [3, 4]}]}) == answer


def test_a_row_of_several_inputs_is_an_object_of_exactly_them(predict: Predict, refuse: Refuse) -> None:
    assert predict("pair", {"instances": [{"a": 1.5, "b": 2}, {"b": 1, "a": 4}]}) == {
        "predictions": [{"sum": 3.5, "less": True}, {"sum": 5.0, "less": False}]
    }
    for row in ({"a": 1}, {"a": 1, "b": 1, "c": 1}, {}, {"a": 1, "c": 1}):
        assert "expected exactly the model's inputs 'a', 'b'" in refuse("pair", {"instances": [{"a": 1, "b": 1}, row]})
    assert "every row must be an object" in refuse("pair", {"instances": [[1, 1]]})


def test_rows_are_all_plain_or_all_objects(refuse: Refuse, predict: Predict) -> None:
    for model, rows in (("float32", [1, {"x": 1}]), ("float32", [{"x": 1}, 1]), ("string", [packed("a"), {"x": "b"}])):
        assert "mixes plain values and objects" in refuse(model, {"instances": rows})
    assert predict("string", {"instances": [packed("a"), "b"]}) == {"predictions": ["a", "b"]}, "b64 is a value"


def test_there_is_at_least_one_row(refuse: Refuse) -> None:
    for rows in ([], {}, "row", 1, None):
        assert "non-empty list" in refuse("float32", {"instances": rows})


# --- columns: "inputs"


def test_the_column_of_one_input_is_bare_or_named(predict: Predict) -> None:
    for value, answer in ([[[1, 2]], [[1.0, 2.0]]], ([[], []], [[], []])):
        assert predict("matrix", {"inputs": value}) == {"outputs": answer}
        assert predict("matrix", {"inputs": {"x": value}}) == {"outputs": answer}
    assert predict("string", {"inputs": [packed("a")]}) == {"outputs": ["a"]}


def test_columns_of_several_inputs_are_an_object(predict: Predict, refuse: Refuse) -> None:
    columns = {"a": [1], "b": [2]}
    assert predict("pair", {"inputs": {**columns, "extra": "ignored"}})["outputs"] == {"sum": [3.0], "less": [True]}
    assert refuse("pair", {"inputs": {"a": [1]}}) == "missing named input 'b' in 'inputs': it has 'a'"
    assert "'inputs' must be an object with 'a', 'b'" in refuse("pair", {"inputs": [1]})


def test_columns_may_differ_in_length_where_the_model_has_no_rows(predict: Predict, refuse: Refuse) -> None:
    assert predict("apart", {"inputs": {"a": [1, 2], "b": [3]}}) == {"outputs": {"of_a": [1.0, 2.0], "of_b": [3.0]}}
    assert "same number of rows: 'a' has 2, 'b' has 1" in refuse("pair", {"inputs": {"a": [1, 2], "b": [3]}})


def test_a_bare_value_is_of_rank_0_and_an_empty_list_has_no_rows(predict: Predict) -> None:
    assert predict("scalar", {"inputs": 5}) == {"outputs": 5.0}
    assert predict("scalar", {"inputs": {"x": 5}}) == {"outputs": 5.0}
    assert predict("float32", {"inputs": []}) == {"outputs": []}


# --- values


FLOATS = ["float32", "float64", "float16", "bfloat16"]
NEITHER = ["true", "null", '"1"', "{}", '{"b64": "MQ=="}', "nan", "+1", "0x1", "-"]


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_float_is_any_number_and_nothing_else(predict: Predict, refuse: Refuse, dtype: str) -> None:
    body = b'{"instances": [1, -2.5, 1e1, 0.25E-1, -0.0, NaN, -NaN, Infinity, Inf, -Infinity, -Inf]}'
    found = predict(dtype, body)["predictions"]
    assert found[:5] == [1.0, -2.5, 10.0, pytest.approx(0.025, rel=0.01), 0.0]
    assert [str(value) for value in found[4:]] == ["-0.0", "nan", "nan", "inf", "inf", "-inf", "-inf"]
    for text in NEITHER:
        refuse(dtype, f'{{"instances": [1, {text}]}}'.encode())


def test_a_number_beyond_float32_is_infinite_there_and_one_beyond_float64_is_none(
    predict: Predict, refuse: Refuse
) -> None:
    assert predict("float32", b'{"instances": [1e39, -1e39]}')["predictions"] == [float("inf"), float("-inf")]
    assert predict("float64", b'{"instances": [1e39]}')["predictions"] == [1e39]
    for dtype in FLOATS:
        assert "number too big" in refuse(dtype, b'{"instances": [1e309]}')


BOUNDS = {f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)}
BOUNDS |= {f"uint{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)}


@pytest.mark.parametrize("dtype", BOUNDS)
def test_an_integer_is_written_as_one_and_never_wraps_around(predict: Predict, refuse: Refuse, dtype: str) -> None:
    low, high = BOUNDS[dtype]
    kept = [low, high, 0, high - 1]
    for body in ({"instances": kept}, {"inputs": kept}, {"inputs": {"x": kept}}, {"instances": [{"x": kept[1]}]}):
        (answer,) = predict(dtype, body).values()
        assert answer == (kept if len(answer) > 1 else kept[1:2])
    for wrong in (low - 1, high + 1, 2**64, -(2**63) - 1, 1.0, 1.5, 1e2, True, "1", None, [1], packed("1")):
        refuse(dtype, {"instances": [1, wrong]})
        refuse(dtype, {"inputs": {"x": [wrong, 1]}})
    for text in ("1.0", "1e0", "NaN", "Inf", "01", "+1"):
        refuse(dtype, f'{{"instances": [{text}]}}'.encode())


def test_an_integer_beyond_doubles_stays_exact(predict: Predict) -> None:
    assert predict("int64", {"instances": [2**53 + 1]}) == {"predictions": [2**53 + 1]}
    assert predict("uint64", {"inputs": [2**63 + 1]}) == {"outputs": [2**63 + 1]}


def test_a_bool_is_true_or_false(predict: Predict, refuse: Refuse) -> None:
    assert predict("bool", {"instances": [True, False]}) == {"predictions": [True, False]}
    for wrong in (1, 0, 1.0, "true", None):
        assert "expected true or false" in refuse("bool", {"instances": [True, wrong]})


def test_a_string_is_text_or_base64_wherever_it_stands(predict: Predict) -> None:
    assert predict("string", {"instances": ["ä😀", packed("ä😀"), ""]}) == {"predictions": ["ä😀", "ä😀", ""]}
    assert predict("string", {"instances": [{"x": packed("a")}, {"x": "b"}]}) == {"predictions": ["a", "b"]}
    nested = [["a", packed("b")], [packed(""), "\0"]]
    answer = [["a", "b"], ["", "\0"]]
    for body in ({"instances": nested}, {"inputs": nested}, {"inputs": {"x": nested}}):
        assert next(iter(predict("text_matrix", body).values())) == answer
    assert predict("string", {"instances": [{"b64": "aGk"}, {"b64": "YQ"}]}) == {"predictions": ["hi", "a"]}, "unpadded"


@pytest.mark.parametrize(
    "wrong",
    [
        {"b64": 5},
        {"b64": "YQ==", "more": 1},
        {"b64": "%%%%"},
        {"b64": "YQ="},
        {"b64": "Y"},
        {"b64": "YQ==\n"},
        {"b64": None},
        {"b64": "/w=="},
        {"B64": "YQ=="},
        {},
        5,
        True,
        None,
    ],
)
def test_base64_has_one_key_a_strict_alphabet_and_holds_utf8(refuse: Refuse, wrong: object) -> None:
    refuse("text_matrix", {"instances": [["a", wrong]]})
    refuse("text_matrix", {"inputs": {"x": [["a", wrong]]}})


def test_base64_is_for_strings_alone(refuse: Refuse) -> None:
    for dtype in ("float32", "int64", "bool"):
        assert "got an object" in refuse(dtype, {"instances": [{"x": packed("1")}]})


# --- nesting


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([[1, 2], [3]], "expected a list of 2 as before it, got one of 1"),
        ([[1, 2], 3], "expected a list of 2, got 3"),
        ([[1, 2], [3, [4]]], "expected a number (float32), got a list of 1"),
        ([[1, [2]], [3, 4]], "expected a number (float32), got a list of 1"),
        ([[[1, 2]], [[3, 4]]], "has shape [2, 1, 2], expected [?, ?]"),
        ([1, 2], "has shape [2], expected [?, ?]"),
        ([[]], None),
        ([[], []], None),
        ([[], [1]], "expected a list of 0 as before it, got one of 1"),
        ([[[]]], "has shape [1, 1, 0], expected [?, ?]"),
    ],
)
def test_lists_are_neither_ragged_nor_too_deep_nor_too_shallow(
    predict: Predict, refuse: Refuse, rows: list[Any], told: str | None
) -> None:
    if told is None:
        assert predict("matrix", {"instances": rows}) == {"predictions": rows}
        assert predict("matrix", {"inputs": rows}) == {"outputs": rows}
    else:
        assert told in refuse("matrix", {"instances": rows})
        assert told in refuse("matrix", {"inputs": {"x": rows}})


def test_the_content_type_is_never_looked_at(ask: Ask) -> None:
    for kind in ("application/x-www-form-urlencoded", "text/plain", "nonsense", ""):
        body = json.dumps({"instances": [1]}).encode()
        assert ask("POST", "/v1/models/float32:predict", body, f"content-type: {kind}").status == 200
