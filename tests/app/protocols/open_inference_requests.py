"""Infer requests as clients and attackers write them, for hypothesis."""

import json
import math
import struct
from typing import Any

from hypothesis import strategies as st

from engines.signature import NUMPY_DTYPES, Signature, TensorSpec
from tests.app.protocols.open_inference_reference import DATATYPES

Request = tuple[bytes, int | None]
"""A body, and the Inference-Header-Content-Length."""

OUTPUTS = (TensorSpec("y", "float32", (-1, 4)), TensorSpec("t", "string", (-1,)))

INTEGERS = ["0", "1", "-1", "-0", "127", "128", "-129", "255", "256", "65536", str(2**53 + 1), str(2**63), "9" * 40]
FLOATS = ["1.0", "0.1", "-0.0", "1e5", "1e39", "-1e39", "1e308", "1e309", "5e-324", "65520.0", "1.5", "1E+2"]
TOKENS = ["NaN", "Infinity", "-Infinity", "nan", "true", "false", "null", "01", "+1", ".5", "{}", str(2**1024)]
STRINGS = ['"a"', '""', '"é😀"', r'"\ud83d\ude00"', r'"\ud800"', '"[[["', r'"\n\u0000"', '"1"', '{"b64":"aGk="}']
ANY = [*INTEGERS, *FLOATS, *TOKENS, *STRINGS, "[]", "[1]", "[[]]"]
IDS = ['"a"', '""', "null", "5", r'"\ud800"', '"[["', '"é"', "[]"]
PARAMETERS = [
    "{}", "null", "5", "[]", '{"binary_data_output":true}', '{"priority":1,"timeout":1500}', '{"priority":9}',
    '{"priority":0,"timeout":0}', '{"priority":1.5}', '{"priority":true}', '{"priority":"1"}', '{"timeout":-1}',
    f'{{"timeout":{2**64}}}', '{"sequence_id":"a","sequence_start":true,"sequence_end":false}', '{"sequence_id":7}',
    '{"sequence_id":1.5}', '{"sequence_start":1}', '{"headers":"x","own":"[[","half":0.5}', '{"triton_own":1}',
    '{"own":[1]}', '{"own":{}}', '{"own":null}', '{"binary_data_output":1}', '{"binary_data_output":null}',
    '{"timeout":1,"timeout":2}',
]  # fmt: skip
ASKED = [
    "[]", "null", "{}", "5", '[{"name":"y"}]',
    '[{"name":"t"},{"name":"y","parameters":{}}]', '[{"name":"y"},{"name":"y"}]',
    '[{"name":"z"}]', '[{"name":5}]', "[{}]", "[[]]", '[{"name":"y","parameters":{"binary_data":true}}]',
    '[{"name":"y","parameters":{"binary_data":false}},{"name":"t","parameters":null}]',
    '[{"name":"y","parameters":{"binary_data":1}}]', '[{"name":"y","parameters":{"classification":3}}]',
    '[{"name":"y","parameters":{"classification":0}}]', '[{"name":"t","parameters":{"classification":1}}]',
    '[{"name":"y","parameters":{"own":[]}}]', '[{"name":"y","name":"t"}]', '[{"name":"y","data":[1]}]',
]  # fmt: skip


OWN = ["null", "{}", '{"content_type":"np"}', '{"a":null,"b":1.5}', '{"a":1,"a":2}', '{"a":[]}', '{"a":{}}', "5", '""']
SHAPES = ["[]", "[1]", "[2,2]", "[-1]", "[true]", "[1.0]", "[[1]]", "null", "5", '"1"', "[null]", "[0]", "[3,3]"]
MEMBERS = ["null", "5", '"x"', "[]", "{}", '"FP32"', "[[1],[2,3]]", '{"a":[]}', '{"binary_data_size":-4}']


def fitting(dtype: str) -> list[str]:
    kind = NUMPY_DTYPES[dtype].kind
    if dtype == "string":
        return STRINGS[:4]
    if kind == "b":
        return ["true", "false"]
    return ["0", "1", "7", "127"] if kind in "iu" else [*FLOATS[:7], *INTEGERS, *TOKENS[:3]]


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    names = draw(st.sampled_from([["x"], ["x"], ["x", "ids"], ["a[0]"], ["é", "b"]]))
    batched = draw(st.booleans())

    def spec(name: str) -> TensorSpec:
        dtype = draw(st.sampled_from(sorted(NUMPY_DTYPES)))
        shape = draw(st.none() | st.lists(st.sampled_from([-1, 1, 2, 3]), max_size=3).map(tuple))
        if batched and shape is not None:
            shape = (-1, *shape[1:])
        return TensorSpec(name, dtype, shape)

    return Signature(tuple(spec(name) for name in names), OUTPUTS, 0 if batched else None)


@st.composite
def requests(draw: st.DrawFn, signature: Signature) -> Request:
    """Mostly what the signature asks for, in every form and spelling, then perhaps damaged."""
    odd = draw(st.sampled_from(["", "", "", "", "leaf", "member", "size", "shape", "text", "key", "length", "raw"]))
    if odd == "raw":
        return draw(raw_bodies(signature)), 0
    blank = draw(st.sampled_from(["", "", " ", "\n\t "]))
    count = draw(st.integers(0, 3))
    entries, tail = [], b""
    for spec in draw(st.permutations(signature.inputs)):
        members, raw = draw(tensors(spec, count, odd, blank))
        entries.append(joined(members.items(), blank))
        tail += raw
    if odd == "key" and draw(st.booleans()):
        entries = draw(st.sampled_from([entries[1:], [*entries, entries[0]], ["5"], ["{}"]]))
    document = {"inputs": f"[{','.join(entries)}]"}
    for key, texts in (("id", IDS), ("parameters", PARAMETERS), ("outputs", ASKED), ("own", ["[1]", '"x"', "{}"])):
        if draw(st.integers(0, 1 if odd == "key" else 3)) == 0:
            document[key] = draw(st.sampled_from(texts if odd == "key" else texts[:1]))
    text = joined(draw(st.permutations(list(document.items()))), blank).encode()
    if odd == "text":
        text = damaged(draw, text)
    length = len(text) if tail or draw(st.booleans()) else None
    if odd == "length":
        length = draw(st.sampled_from([None, 0, len(text) - 1, len(text) + 1, len(text) + len(tail) + 1]))
    return text + tail, length


@st.composite
def raw_bodies(draw: st.DrawFn, signature: Signature) -> bytes:
    """One row of the first input without any JSON; a text without its length."""
    spec = signature.inputs[0]
    shape = list(spec.shape or ())
    if signature.batch_axis == 0:
        shape[:1] = [1]
    if spec.dtype == "string":
        return draw(st.sampled_from([b"", b"a", "é😀".encode(), b"\xff"]))
    count = draw(st.integers(0, 3))
    return draw(raw_tensors(spec, math.prod(count if size == -1 else size for size in shape), False))


@st.composite
def tensors(draw: st.DrawFn, spec: TensorSpec, count: int, odd: str, blank: str) -> tuple[dict[str, str], bytes]:
    """The members of one of the `inputs`, and its raw bytes."""
    wanted = draw(st.sampled_from([(), (-1,), (2, -1)])) if spec.shape is None else spec.shape
    shape = [count if size == -1 else size for size in wanted]
    members = {"name": json.dumps(spec.name), "shape": json.dumps(shape), "datatype": f'"{DATATYPES[spec.dtype]}"'}
    way = draw(st.sampled_from(["flat", "nested", "binary", "binary"]))
    raw = b""
    if way == "binary":
        raw = draw(raw_tensors(spec, math.prod(shape), odd == "size"))
        members["parameters"] = f'{{"binary_data_size":{len(raw)}}}'
    else:
        leaves = draw(st.lists(st.sampled_from(ANY if odd == "leaf" else fitting(spec.dtype)), min_size=1, max_size=4))
        if draw(st.integers(0, 3)) == 0:
            members["parameters"] = draw(st.sampled_from(OWN))
        members["data"] = lists(leaves, shape if way == "nested" and shape else [math.prod(shape)], blank)
    if odd == "shape":
        members["shape"] = draw(st.sampled_from(SHAPES))
    if odd == "member":
        members[draw(st.sampled_from([*members, "data", "parameters", "own"]))] = draw(st.sampled_from(MEMBERS))
    return members, raw


def lists(leaves: list[str], shape: list[int], blank: str, first: int = 0) -> str:
    if not shape:
        return leaves[first % len(leaves)]
    return f"[{blank}{','.join(lists(leaves, shape[1:], blank, first + i) for i in range(shape[0]))}{blank}]"


def joined(items: Any, blank: str) -> str:
    return "{" + f"{blank},".join(f"{json.dumps(key)}{blank}:{blank}{text}" for key, text in items) + "}"


@st.composite
def raw_tensors(draw: st.DrawFn, spec: TensorSpec, count: int, is_damaged: bool) -> bytes:
    """A tensor's bytes, or perhaps not quite."""
    if spec.dtype == "string":
        texts = draw(st.lists(st.sampled_from([b"", b"a", "é😀".encode(), b"\0", b"\xff"[:is_damaged]]), min_size=1))
        raw = b"".join(struct.pack("<I", len(text)) + text for text in (texts * count)[:count])
    else:
        size = count * NUMPY_DTYPES[spec.dtype].itemsize
        raw = draw(st.binary(min_size=size, max_size=size))
    if not is_damaged:
        return raw
    at = draw(st.integers(0, len(raw)))
    return raw[:at] + draw(st.binary(max_size=4)) + raw[at + draw(st.integers(0, 4)) :]


def damaged(draw: st.DrawFn, text: bytes) -> bytes:
    for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
        at = draw(st.integers(0, len(text)))
        piece = draw(st.sampled_from([b"", b"[", b"]", b"{", b"}", b",", b":", b'"', b"1", b".", b"-", b"e", b"\xff"]))
        text = text[:at] + piece + text[at + draw(st.integers(0, 1)) :]
    ending = draw(st.sampled_from([b"", b"", b"", b" ", b"\n", b"x", b"]", b"{}", b"\x00"]))
    cut = len(text) if draw(st.integers(0, 9)) else draw(st.integers(0, len(text)))
    return draw(st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf"])) + text[:cut] + ending
