"""TfServing.decode against a slow and obvious reader of the same words: bit for bit the same, or both refuse."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.errors import Malformed, text_for
from app.protocols.codec import Decoded
from app.protocols.tfserving import TfServing
from engines.signature import NUMPY_DTYPES, Signature, TensorSpec
from tests.app.protocols.json_reference import TOKENS, Array, Refused, bits, element, read_first, refuse, shape_of

# The module says so once for its process; pytest begins every test with filters of its own.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")


def decode(codec: TfServing, body: bytes) -> Decoded:
    """As a request is decoded: the quick way where it has an opinion, else the exact one."""
    return codec.decode_quickly(body) or codec.decode_exactly(body)


# --- the reference


def reference(signature: Signature, body: bytes) -> tuple[str, dict[str, Array]]:
    """Form and arrays of a predict body. Raises Refused."""
    document = read_first(body)
    if not isinstance(document, dict) or len({"instances", "inputs"} & document.keys()) != 1:
        refuse()
    if document.get("signature_name", "") not in ("", "serving_default"):
        refuse()
    form = "row" if "instances" in document else "column"
    values = rows if form == "row" else columns
    specs = {spec.name: spec for spec in signature.inputs}
    arrays = {name: array(value, specs[name]) for name, value in values(document, list(specs)).items()}
    if signature.batch_axis == 0 and len({len(a) if a.ndim else refuse() for a in arrays.values()}) != 1:
        refuse()
    return form, arrays


def names_inputs(value: Any) -> bool:
    return isinstance(value, dict) and not (list(value) == ["b64"] and isinstance(value["b64"], str))


def rows(document: dict[str, Any], names: list[str]) -> dict[str, Any]:
    items = document["instances"]
    if not isinstance(items, list) or not items or len({names_inputs(item) for item in items}) != 1:
        refuse()
    if names_inputs(items[0]):
        if any(set(item) != set(names) for item in items):
            refuse()
        return {name: [item[name] for item in items] for name in names}
    return {names[0]: items} if len(names) == 1 else refuse()


def columns(document: dict[str, Any], names: list[str]) -> dict[str, Any]:
    value = document["inputs"]
    if names_inputs(value):
        return {name: value[name] if name in value else refuse() for name in names}
    return {names[0]: value} if len(names) == 1 else refuse()


def array(value: Any, spec: TensorSpec) -> Array:
    shape = shape_of(value)
    wanted = shape if spec.shape is None else spec.shape
    if len(shape) != len(wanted) or any(w not in (-1, s) for w, s in zip(wanted, shape, strict=True)):
        refuse()
    found = np.empty(shape, NUMPY_DTYPES[spec.dtype])
    for index in np.ndindex(*shape):
        node = value
        for place in index:
            node = node[place]
        found[index] = leaf(node, spec.dtype)
    return found


def leaf(value: Any, dtype: str) -> Any:
    if dtype == "string" and isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str):
        value = unpacked(value["b64"])
    return element(value, dtype)


def unpacked(text: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    digits = text.rstrip("=")
    is_right = text == digits or (len(text) % 4 == 0 and len(text) - len(digits) < 3)
    if not is_right or len(digits) % 4 == 1 or any(c not in alphabet for c in digits):
        refuse()
    bits = "".join(f"{alphabet.index(c):06b}" for c in digits)
    try:
        return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits) // 8 * 8, 8)).decode()
    except UnicodeDecodeError:
        return refuse()


# --- bodies

INTEGERS = ["0", "1", "-1", "-0", "127", "128", "-128", "-129", "255", "256", "300", "65535", "65536", "-32769"]
LARGE = [str(2**53 + 1), str(2**31), str(2**63 - 1), str(2**63), str(-(2**63)), str(2**64 - 1), str(2**64), "9" * 40]
HUGE = [str(10**308), str(2**1023 + 1), str(2**1024), str(-(10**310)), "9" * 5000]
FLOATS = ["1.0", "0.1", "-0.0", "1e5", "1E+2", "1e39", "-1e39", "1e308", "1e309", "5e-324", "1e-400", "65520.0", "1.5"]
WORDS = [*TOKENS, "true", "false", "null"]
WRONG = ["nan", "inf", "+Inf", "--Inf", "- Inf", "Infinit", "Inf1", "1Inf", "01", "+1", "1.", ".5", "0x1", "-", "{}"]
STRINGS = [
    '"a"', '""', '"é😀"', r'"\u00e9"', r'"\ud83d\ude00"', r'"\ud800"', '"[[["', r'"\n\u0000"', '"1"', '"\t"',
    '{"b64":"aGk="}', '{"b64":"w6k="}', '{"b64":"/w=="}', '{"b64":"a"}', '{"b64":"a===" }', '{"b64":"aGk=\\n"}',
    '{"b64":"aGk"}', '"Inf"', r'"\"-NaN"', '{"b64":5}', '{"b64":"aGk=","x":1}', '{"b64":"é==="}', '{"b64":""}',
    '{"b64":"aGl="}',
]  # fmt: skip
ANY = [*INTEGERS, *LARGE, *HUGE, *FLOATS, *WORDS, *WRONG, *STRINGS, "[]", "[1]", "[[]]"]


def fitting(dtype: str) -> list[str]:
    kind = NUMPY_DTYPES[dtype].kind
    if dtype == "string":
        return STRINGS
    if kind == "b":
        return ["true", "false"]
    return ["0", "1", "7", "127"] if kind in "iu" else [*FLOATS[:8], *INTEGERS, *TOKENS]


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    names = draw(st.sampled_from([["x"], ["x"], ["x", "ids"], ["a[0]"], ["b64"], ["é", "b64"]]))
    batched = draw(st.booleans())

    def spec(name: str) -> TensorSpec:
        dtype = draw(st.sampled_from(sorted(NUMPY_DTYPES)))
        shape = draw(st.lists(st.sampled_from([-1, 1, 2, 3]), max_size=4).map(tuple))
        if draw(st.integers(0, 4)) == 0:
            shape = None
        if batched and shape is not None:
            shape = (-1, *shape[1:])
        return TensorSpec(name, dtype, shape)

    return Signature(tuple(spec(name) for name in names), (), 0 if batched else None)


@st.composite
def bodies(draw: st.DrawFn, signature: Signature) -> bytes:
    """Mostly what the signature asks for, in every form and spelling, then perhaps damaged."""
    blank = draw(st.sampled_from(["", "", " ", "\n\t ", "\r\n"]))
    count = draw(st.integers(1, 3))
    odd = draw(st.sampled_from(["", "", "", "leaf", "key", "text"]))
    dims = {s.name: [count if d == -1 else d for d in shape_or_any(draw, s.shape)] for s in signature.inputs}
    leaves = {
        s.name: draw(st.lists(st.sampled_from(ANY if odd == "leaf" else fitting(s.dtype)), min_size=1, max_size=4))
        for s in signature.inputs
    }

    def joined(items: list[str]) -> str:
        return f"{blank},{blank}".join(items)

    def lists(name: str, shape: list[int], first: int = 0) -> str:
        if not shape:
            return leaves[name][first % len(leaves[name])]
        return f"[{blank}" + joined([lists(name, shape[1:], first + i) for i in range(shape[0])]) + f"{blank}]"

    def named(values: dict[str, str]) -> str:
        items = draw(st.permutations(list(values.items())))
        return "{" + joined([f"{json.dumps(key)}{blank}:{blank}{value}" for key, value in items]) + "}"

    bare = len(dims) == 1 and draw(st.booleans())
    if draw(st.booleans()):
        per_row = [{name: lists(name, shape[1:], row) for name, shape in dims.items()} for row in range(count)]
        value = "[" + joined([*map(named, per_row)] if not bare else [v for r in per_row for v in r.values()]) + "]"
        entries = {"instances": value}
    else:
        entries = {"inputs": lists(next(iter(dims)), dims[next(iter(dims))]) if bare else ""}
        if not bare:
            entries["inputs"] = named({name: lists(name, shape) for name, shape in dims.items()})
    if odd == "key":
        text = draw(st.sampled_from(['""', '"serving_default"', '"other"', "null", "5", r'"\ud800"', "[[1,2],[3]]"]))
        entries |= {draw(st.sampled_from(["signature_name", "other", "inputs"])): text}
    body = (blank + named(entries)).encode()
    return damaged(draw, body) if odd == "text" else body


def shape_or_any(draw: st.DrawFn, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    return draw(st.sampled_from([(), (-1,), (-1, 2), (2, 0)])) if shape is None else shape


def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
        at = draw(st.integers(0, len(body)))
        piece = draw(st.sampled_from([b"", b"[", b"]", b"{", b"}", b",", b":", b'"', b"1", b".", b"-", b"e", b"\xff"]))
        body = body[:at] + piece + body[at + draw(st.integers(0, 1)) :]
    ending = draw(st.sampled_from([b"", b"", b"", b" ", b"\n", b"x", b"]", b"{}", b"\x00", b"\xff", b'"\xff', b"Inf"]))
    cut = len(body) if draw(st.integers(0, 9)) else draw(st.integers(0, len(body)))
    return draw(st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf"])) + body[:cut] + ending


cases = signatures().flatmap(lambda signature: st.tuples(st.just(signature), bodies(signature)))
X3 = Signature((TensorSpec("x", "float32", (-1, 3)),), (), 0)
X = Signature((TensorSpec("x", "float32", (3,)),), (), None)
LINE = Signature((TensorSpec("x", "float32", (-1,)),), (), 0)
B64 = Signature((TensorSpec("b64", "float32", (-1, 2)),), (), 0)
UNKNOWN = Signature((TensorSpec("x", "float32", None),), (), 0)

# --- the comparison


def outcome(decode: Callable[[], tuple[str, dict[str, Any]]]) -> Any:
    try:
        form, arrays = decode()
    except (Malformed, Refused) as error:
        return "refused" if len(text_for(error)) < 4000 else "a refusal that quotes the whole body"
    return form, bits(arrays)


def form_and_inputs(decoded: Decoded) -> tuple[str, dict[str, Any]]:
    return decoded.form, decoded.inputs


@given(cases)
@example((X, b'{"inputs":[1,[2,3],[]]}'))
@example((X, b'{"inputs":[[1],2,3]}'))
@example((X3, b'{"instances":[[1,2],[3],[4,5,6]]}'))
@example((X3, b'{"instances":[[1,2,3],[[4,5,6]]]}'))
@example((X3, b'{"instances":[[1,2,true]]}'))
@example((LINE, b'{"instances":[{"x":[1]}]}'))
@example((B64, b'{"instances":[{"b64":[1,2]}]}'))
@example((UNKNOWN, b'{"inputs":5}'))
@example((LINE, b'{"instances":[Inf,-Inf,-NaN,Infinity]}'))
@example((LINE, b'{"Inf":"\\"Inf","instances":[-Inf,1]} "Inf\xff'))
@example((LINE, b'{"instances":[1,2]}\xff'))
@example((LINE, b'{"instances":[1,2],"x":"\xff"}'))
@example((LINE, b'{"instances":[1,2\xff]}'))
@settings(max_examples=500, deadline=None)
def test_decode_reads_what_the_reference_reads(case: tuple[Signature, bytes]) -> None:
    signature, body = case
    codec = TfServing(signature)

    def counted() -> tuple[str, dict[str, Any]]:
        decoded = decode(codec, body)
        assert decoded.rows == (len(next(iter(decoded.inputs.values()))) if signature.batch_axis == 0 else 1)
        return decoded.form, decoded.inputs

    assert outcome(counted) == outcome(lambda: reference(signature, body))


@given(cases)
@settings(max_examples=500, deadline=None)
def test_the_quick_way_has_no_opinion_or_that_of_the_exact_way(case: tuple[Signature, bytes]) -> None:
    signature, body = case
    codec = TfServing(signature)
    quick = codec._numbers_in(body) if codec._numbers else None
    if quick is not None:
        form, arrays = codec._values_in(body)
        assert (quick[0], bits(quick[1])) == (form, bits(arrays))


NUMERIC = sorted(dtype for dtype in NUMPY_DTYPES if dtype not in ("string", "bool"))


@pytest.mark.parametrize("dtype", NUMERIC)
@pytest.mark.parametrize("rank", [1, 2, 3, 4])
@pytest.mark.parametrize("body", ['{{"inputs":{0}}}', '{{"inputs":{{"x":{0}}}}}', '{{"instances":{0}}}'])
def test_plain_numbers_go_the_quick_way(dtype: str, rank: int, body: str) -> None:
    signature = Signature((TensorSpec("x", dtype, (-1,) * rank),), (), None)
    value: Any = 7
    for _ in range(rank):
        value = [value, value]
    quick = TfServing(signature)._numbers_in(body.format(json.dumps(value)).encode())
    if rank == 1 and "instances" in body:
        assert quick is None  # one number a row: not worth a way of its own
    else:
        assert quick is not None
        assert bits(quick[1]) == bits({"x": np.full((2,) * rank, 7, NUMPY_DTYPES[dtype])})


@given(signatures(), st.binary(max_size=60) | st.text(alphabet='[]{}",:1e.-NaIinfty ', max_size=40).map(str.encode))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_read_or_refused(signature: Signature, body: bytes) -> None:
    codec = TfServing(signature)
    assert outcome(lambda: form_and_inputs(decode(codec, body))) == outcome(lambda: reference(signature, body))
