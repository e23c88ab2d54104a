"""What TfServing.decode says to the requests that people and attackers really send."""

import base64
import json
from typing import Any

import numpy as np
import pytest

from app.errors import Malformed, text_for
from app.protocols.codec import Decoded
from app.protocols.tfserving import TfServing
from engines.signature import Signature, TensorSpec


def decode(codec: TfServing, body: bytes) -> Decoded:
    """As a request is decoded: the quick way where it has an opinion, else the exact one."""
    return codec.decode_quickly(body) or codec.decode_exactly(body)


def takes(dtype: str, *shape: int, name: str = "x") -> TfServing:
    """The codec of a model with one input, batched where its first dimension is dynamic."""
    return TfServing(Signature((TensorSpec(name, dtype, shape),), (), 0 if shape[:1] == (-1,) else None))


TWO = TfServing(Signature((TensorSpec("ids", "int64", (-1, 2)), TensorSpec("mask", "bool", (-1, 2))), (), 0))
MATRIX = takes("float32", -1, 3)


def refusal(codec: TfServing, body: str | bytes) -> str:
    with pytest.raises(Malformed) as caught:
        decode(codec, body if isinstance(body, bytes) else body.encode())
    return text_for(caught.value)


def same(decoded: Decoded, name: str, expected: Any) -> bool:
    found = decoded.inputs[name]
    return found.dtype == expected.dtype and np.array_equal(found, expected)


# --- what is accepted


@pytest.mark.parametrize(
    "body",
    [
        '{"instances":[[1,2,3],[4,5,6]]}',
        '{"instances":[{"x":[1,2,3]},{"x":[4,5,6]}]}',
        '{"inputs":[[1,2,3],[4,5,6]]}',
        '{"inputs":{"x":[[1,2,3],[4,5,6]]}}',
        '{"inputs":{"other":["ignored"],"x":[[1,2,3],[4,5,6]]}}',
        '{"signature_name":"serving_default","instances":[[1.0,2e0,3],[0.4e1,5,6]]}',
        '{"other":[[]],"instances":[[1,2,3],[4,5,6]],"signature_name":""}',
        '\ufeff {"instances":\n[[1,2,3],\t[4,5,6]]} trailing',
    ],
)
def test_one_request_has_many_spellings(body: str) -> None:
    decoded = decode(MATRIX, body.encode())
    assert same(decoded, "x", np.array([[1, 2, 3], [4, 5, 6]], "float32"))
    assert decoded.rows == 2
    assert decoded.form == ("row" if "instances" in body else "column")


@pytest.mark.parametrize(
    "body",
    [
        '{"instances":[{"ids":[1,2],"mask":[true,false]},{"mask":[false,false],"ids":[3,4]}]}',
        '{"inputs":{"mask":[[true,false],[false,false]],"ids":[[1,2],[3,4]]}}',
    ],
)
def test_several_inputs_are_bound_by_name(body: str) -> None:
    decoded = decode(TWO, body.encode())
    assert same(decoded, "ids", np.array([[1, 2], [3, 4]], "int64"))
    assert same(decoded, "mask", np.array([[True, False], [False, False]]))


def test_requests_share_a_group_exactly_when_their_rows_fit_together() -> None:
    codec = takes("float32", -1, -1)
    groups = [
        decode(codec, body).group for body in (b'{"inputs":[[1,2]]}', b'{"inputs":[[1,2],[3,4]]}', b'{"inputs":[[1]]}')
    ]
    assert groups[0] == groups[1] != groups[2]


def test_an_unbatched_model_takes_a_bare_number() -> None:
    decoded = decode(takes("float64"), b'{"inputs":2.5}')
    assert same(decoded, "x", np.array(2.5))
    assert (decoded.rows, decoded.group) == (1, None)


@pytest.mark.parametrize(
    ("dtype", "text", "value"),
    [
        ("int64", str(2**53 + 1), 2**53 + 1),
        ("uint64", str(2**64 - 1), 2**64 - 1),
        ("int64", str(-(2**63)), -(2**63)),
        ("int8", "-128", -128),
        ("float64", "0.1", 0.1),
        ("float32", "1e39", np.inf),
        ("float32", "-Infinity", -np.inf),
        ("float64", str(10**308), 1e308),
        ("float16", "65519", 65504.0),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
def test_numbers_keep_their_value(dtype: str, text: str, value: Any) -> None:
    decoded = decode(takes(dtype, -1, 1), f'{{"instances":[[{text}]]}}'.encode())
    assert decoded.inputs["x"].item() == value


def test_what_is_not_finite_has_the_tokens_of_rapidjson() -> None:
    found = decode(MATRIX, b'{"instances":[[NaN,-NaN,Inf],[-Inf,Infinity,-Infinity]]}').inputs["x"]
    assert np.array_equal(found, np.array([[np.nan, np.nan, np.inf], [-np.inf, np.inf, -np.inf]]), equal_nan=True)


def test_a_text_that_holds_such_a_token_stays_as_it_is() -> None:
    body = rb'{"inputs":{"x":["-NaN","say \"Inf\"","Inf\\"],"y":Inf}}'
    assert decode(takes("string", -1), body).inputs["x"].tolist() == ["-NaN", 'say "Inf"', "Inf\\"]


def test_minus_zero_keeps_its_sign_where_it_is_written_as_a_float() -> None:
    found = decode(MATRIX, b'{"instances":[[-0.0,-0.0,-0.0]]}').inputs["x"]
    assert np.signbit(found).all()


def test_strings_come_as_text_or_as_base64_of_it() -> None:
    packed = base64.b64encode("grüße".encode()).decode()
    for body in ({"instances": ["grüße", {"b64": packed}]}, {"inputs": {"x": ["grüße", {"b64": packed}]}}):
        found = decode(takes("string", -1), json.dumps(body).encode()).inputs["x"]
        assert found.dtype == object
        assert found.tolist() == ["grüße", "grüße"]


def test_an_input_may_be_called_b64() -> None:
    for dtype in ("float32", "string"):
        value = '["a"]' if dtype == "string" else "[1]"
        for body in (f'{{"instances":[{{"b64":{value}}}]}}', f'{{"inputs":{{"b64":[{value}]}}}}'):
            assert decode(takes(dtype, -1, 1, name="b64"), body.encode()).rows == 1


def test_a_list_may_be_empty_behind_the_first_axis() -> None:
    assert decode(takes("float32", -1, -1), b'{"instances":[[],[]]}').inputs["x"].shape == (2, 0)
    assert decode(takes("float32", -1), b'{"inputs":[]}').rows == 0


# --- what is refused, and how


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("", "the document is empty"),
        ("   ", "the document is empty"),
        ("{", "JSON parse error: Expecting property name"),
        ('{"instances":[[1,2,3]', "JSON parse error: Expecting ',' delimiter at character 21"),
        ('{"instances":[[Inf,2,3]', "Expecting ',' delimiter at character 28, counted with Infinity for Inf"),
        ('{"instances":[[1,2,+Inf]]}', "JSON parse error: Expecting value at character 19"),
        ("[[1,2,3]]", "must be a JSON object"),
        ("{}", "exactly one of 'instances' (rows) and 'inputs' (columns)"),
        ('{"instances":[[1,2,3]],"inputs":[[1,2,3]]}', "exactly one of"),
        ('{"instances":[[1,2,3]],"instances":[[1,2,3]]}', "key 'instances' stands twice"),
        ('{"instances":[]}', "non-empty list"),
        ('{"instances":5}', "non-empty list"),
        ('{"instances":[[1,2,3]],"signature_name":5}', "'signature_name' must be a string"),
        ('{"instances":[[1,2,3]],"signature_name":"a"}', "there is no signature 'a'"),
        ('{"instances":[[1,2,3],{"x":[1,2,3]}]}', "mixes plain values and objects"),
        ('{"instances":[{"y":[1,2,3]}]}', "'instances'[0] has 'y', expected exactly the model's inputs 'x'"),
        ('{"instances":[{"x":[1,2,3],"y":1}]}', "'instances'[0] has 'x', 'y', expected exactly"),
        ('{"inputs":{"y":[[1,2,3]]}}', "missing named input 'x' in 'inputs': it has 'y'"),
        ('{"instances":[[1,2]]}', "input 'x' has shape [1, 2], expected [?, 3]"),
        ('{"instances":[1,2,3]}', "input 'x' has shape [3], expected [?, 3]"),
        ('{"instances":[[[1,2,3]]]}', "input 'x' has shape [1, 1, 3], expected [?, 3]"),
        ('{"instances":[[1,2],[3],[4,5,6]]}', "input 'x'[1]: expected a list of 2 as before it, got one of 1"),
        ('{"instances":[[1,2,3],4]}', "input 'x'[1]: expected a list of 3, got 4"),
        ('{"instances":[[1,[2,3],[]]]}', "input 'x'[0][1]: expected a number (float32), got a list of 2"),
        ('{"instances":[[1,2,true]]}', "input 'x'[0][2]: expected a number (float32), got true"),
        ('{"instances":[[1,2,"3"]]}', "input 'x'[0][2]: expected a number (float32), got \"3\""),
        ('{"instances":[[1,2,null]]}', "input 'x'[0][2]: expected a number (float32), got null"),
        ('{"instances":[[1,2,{"b64":"aGk="}]]}', "input 'x'[0][2]: expected a number (float32), got an object"),
        ('{"instances":[[1,2,1e309]]}', "number too big: 1e309"),
        ('{"instances":[[1,2,' + "9" * 5000 + "]]}", "number too big"),
        ('{"instances":' + "[" * 200_000, "nested too deep"),
        ('{"instances":' + "[" * 40 + "]" * 40 + "}", "nested 40 lists deep, at most 32"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_came_and_what_was_expected(body: str, told: str) -> None:
    assert told in refusal(MATRIX, body)


@pytest.mark.parametrize(
    ("dtype", "text", "told"),
    [
        ("int8", "300", "expected an integer of int8, -128 to 127, without a decimal point, got 300"),
        ("int32", "1.0", "got 1.0"),
        ("int64", str(2**63), f"got {2**63}"),
        ("uint8", "-1", "got -1"),
        ("uint64", str(2**64), f"got {2**64}"),
        ("bool", "1", "expected true or false, got 1"),
        ("float32", str(10**309), "expected a number (float32), got 1000"),
        ("string", "5", 'expected a string or {"b64": "..."}, got 5'),
        ("string", '{"b64":"%"}', "'b64' is not base64 of UTF-8 text"),
        ("string", '{"b64":"/w=="}', "'b64' is not base64 of UTF-8 text"),
        ("string", '["\\ud800"]', "half a surrogate pair"),
    ],
)  # fmt: skip
def test_nothing_wraps_around_or_is_coerced(dtype: str, text: str, told: str) -> None:
    assert told in refusal(takes(dtype, -1, 1), f'{{"instances":[[{text.strip("[]")}]]}}')


def test_bytes_that_are_not_text_are_told_by_their_place() -> None:
    assert "byte 14 of the body is not UTF-8" in refusal(MATRIX, b'{"instances":[\xff]}')


def test_what_follows_the_closing_brace_is_nobodys_business() -> None:
    for tail in (b" ", b"}", b"\xff", b'"\xff', b'{"instances":[]}', bytes(9)):
        assert decode(MATRIX, b'{"instances":[[1,2,3]]}' + tail).rows == 1
    assert "byte 30 of the body is not UTF-8" in refusal(MATRIX, b'{"instances":[[1,2,3]],"name":\xff}')


def test_inputs_of_different_length_are_refused() -> None:
    told = refusal(TWO, '{"inputs":{"ids":[[1,2],[3,4]],"mask":[[true,true]]}}')
    assert told == "all inputs need the same number of rows: 'ids' has 2, 'mask' has 1"


def test_several_inputs_need_their_names() -> None:
    assert "every row must be an object with 'ids', 'mask'" in refusal(TWO, '{"instances":[[1,2]]}')
    assert "'inputs' must be an object with 'ids', 'mask'" in refusal(TWO, '{"inputs":[[1,2]]}')


def test_what_a_client_made_up_can_always_be_answered() -> None:
    """Half a surrogate pair is JSON and no UTF-8; a refusal that quotes it is."""
    for body in (
        r'{"instances":[[1,2,3]],"signature_name":"\ud800"}',
        r'{"\udc00":1,"\udc00":2}',
        r'{"instances":[{"\udfff":[1,2,3]}]}',
    ):
        assert refusal(MATRIX, body).isprintable()


def test_a_refusal_stays_short_and_quick_whatever_is_quoted() -> None:
    many = {f"{i}": 0 for i in range(100_000)}
    assert len(refusal(MATRIX, json.dumps({"instances": [many]}))) < 1000
    assert len(refusal(MATRIX, json.dumps({"instances": [{"k" * 100_000: 0}]}))) < 1000
    assert "stands twice" in refusal(MATRIX, json.dumps(many)[:-1] + ', "99999": 0}')
