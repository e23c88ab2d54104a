"""Generate against a slow and obvious reader of the same words, and what it writes against the standard library."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.errors import Malformed, Unsupported, text_for
from app.protocols.codec import Decoded
from app.protocols.generate import Generate
from app.serving.request import NORMAL_PRIORITY
from engines.signature import NUMPY_DTYPES, Signature, TensorSpec
from tests.app.protocols.json_reference import Refused, bits, element, read_whole, refuse, shape_of
from tests.app.protocols.outputs import IDENTITY, Array, dtype_name, is_written, tensors

# The module says so once for its process; pytest begins every test with filters of its own.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")


def signature_of(**shapes: tuple[int, ...] | None) -> Signature:
    return Signature(tuple(TensorSpec(name, "float32", shape) for name, shape in shapes.items()), (), None)


def decode(body: bytes, signature: Signature) -> Decoded:
    codec = Generate(signature, streams=False)
    assert codec.decode_quickly(body) is None
    return codec.decode_exactly(body)


# --- the reference


def reference(signature: Signature, body: bytes) -> Any:
    """Id, arrays, rows, priority and time of a generate body. Raises Refused."""
    document = read_whole(body)
    if not isinstance(document, dict):
        refuse()
    names = [spec.name for spec in signature.inputs]
    own_id = document.pop("id", None) if "id" not in names else None
    if own_id is not None and not (isinstance(own_id, str) and element(own_id, "string") == own_id):
        refuse()
    pairs = list(document.items())
    if "parameters" in document and "parameters" not in names:
        inner = document["parameters"]
        pairs = [pair for pair in pairs if pair[0] != "parameters"]
        pairs += [] if inner is None else list(inner.items()) if isinstance(inner, dict) else refuse()
    given_twice = len({key for key, _ in pairs}) < len(pairs)
    if given_twice or not set(names) <= dict(pairs).keys():
        refuse()
    arrays = {spec.name: array(dict(pairs)[spec.name], spec) for spec in signature.inputs}
    if signature.batch_axis == 0 and len({len(a) if a.ndim else refuse() for a in arrays.values()}) != 1:
        refuse()
    rows = len(next(iter(arrays.values()))) if signature.batch_axis == 0 else 1
    return own_id or None, arrays, rows, *waiting({key: value for key, value in pairs if key not in names})


def array(value: Any, spec: TensorSpec) -> Array:
    shape = shape_of(value)
    leaves = flattened(value)
    if spec.shape is not None:
        shape = filled(spec.shape, len(leaves)) if len(shape) < 2 else shape
        if len(shape) != len(spec.shape) or any(w not in (-1, s) for w, s in zip(spec.shape, shape, strict=True)):
            refuse()
    found = np.empty(len(leaves), NUMPY_DTYPES[spec.dtype])
    for index, leaf in enumerate(leaves):
        found[index] = element(leaf, spec.dtype)
    return found.reshape(shape)


def flattened(value: Any) -> list[Any]:
    return [leaf for child in value for leaf in flattened(child)] if isinstance(value, list) else [value]


def filled(shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    """In two passes, as Triton does it (which divides by zero where a size is 0)."""
    if 0 in shape:
        return refuse() if count else tuple(abs(size) for size in shape)
    for size in reversed(shape):
        if size > 0:
            count = refuse() if count % size else count // size
    found = list(shape)
    for axis in reversed(range(len(shape))):
        if shape[axis] == -1:
            found[axis], count = count, 1
    return tuple(found) if count == 1 else refuse()


def waiting(parameters: dict[str, Any]) -> tuple[int, float | None]:
    """What the parameters say of the queue."""
    for key, value in parameters.items():
        whole = type(value) is int and 0 <= value < 2**64
        fits = {
            "timeout": whole,
            "priority": whole,
            "sequence_id": whole or isinstance(value, str),
            "sequence_start": isinstance(value, bool),
            "sequence_end": isinstance(value, bool),
            "binary_data_output": isinstance(value, bool),
        }.get(key, not isinstance(value, list | dict))
        if value is not None and (key.startswith("triton_") or not fits):
            refuse()
    priority = parameters.get("priority") or 0
    timeout = parameters.get("timeout") or 0
    return priority if priority in (1, 2, 3) else NORMAL_PRIORITY, timeout / 1_000_000 if timeout else None


# --- requests

LEAVES = {
    "string": ['"a"', '""', '"é😀"', r'"\ud83d\ude00"', r'"\n\u0000"', '"null"'],
    "bool": ["true", "false"],
    "i": ["0", "1", "7", "127"],
    "f": ["0", "-3", "0.1", "1e5", "-0.0", "1e39", "5e-324", "NaN", "-Infinity"],
}
ODD = [
    "null", "true", "1", "1.0", "-1", "300", "99999999999", "18446744073709551616", "1e400", '"1"', r'"\ud800"',
    '{"b64":"aGk="}', "{}", "[]", "[1]", "[[1],[2,3]]", "[[]]", "[[[1]]]",
]  # fmt: skip
PARAMETERS = {
    "stream": ["false", "null", '"yes"', "0.5", "[]", "{}"],
    "timeout": ["0", "1500000", "null", "-1", "1.5", "true", "18446744073709551615", "18446744073709551616"],
    "priority": ["0", "1", "2", "3", "4", "null", '"1"'],
    "sequence_id": ['"a"', "5", "-5", "true"],
    "sequence_start": ["true", "1"],
    "binary_data_output": ["true", '"true"'],
    "triton_x": ["1", "null"],
    "id": ['"i"', '""', "null", "5", r'"\ud800"'],
    "parameters": ["null", "{}", "[]", '{"id":5}', '{"x":[1,2,3],"y":1}'],
}


def leaves_for(dtype: str) -> list[str]:
    kind = NUMPY_DTYPES[dtype].kind
    return LEAVES.get(dtype) or LEAVES["i" if kind in "iu" else "f"]


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    names = draw(st.sampled_from([["text_input"], ["x"], ["x", "y"], ["id"], ["parameters"], ["timeout", "é"]]))
    batched = draw(st.booleans())

    def spec(name: str) -> TensorSpec:
        dtype = draw(st.sampled_from(["string", "bool", "int8", "uint64", "float32", "float16", "bfloat16"]))
        shape = draw(st.none() | st.lists(st.sampled_from([-1, -1, -1, 0, 1, 1, 2, 3]), max_size=4).map(tuple))
        return TensorSpec(name, dtype, (-1, *shape[1:]) if batched and shape is not None else shape)

    return Signature(tuple(spec(name) for name in names), (), 0 if batched else None)


@st.composite
def values(draw: st.DrawFn, spec: TensorSpec) -> str:
    """Mostly what fills the input: an element, a list of as many as fit or nearly, or lists nested as the shape."""
    form = draw(st.sampled_from([*["flat"] * 6, *["nested"] * 3, "one", "odd"]))
    if form == "odd":
        return draw(st.sampled_from(ODD))
    leaf = st.sampled_from(leaves_for(spec.dtype))
    if form == "one":
        return draw(leaf)
    sizes = [draw(st.integers(0, 3)) if size == -1 else size for size in spec.shape or (2,)]
    if form == "flat":
        count = math.prod(sizes) + draw(st.sampled_from([*[0] * 8, 1, -1]))
        return f"[{','.join(draw(leaf) for _ in range(count))}]"

    def lists(shape: list[int]) -> str:
        return f"[{','.join(lists(shape[1:]) for _ in range(shape[0]))}]" if shape else draw(leaf)

    return lists(sizes)


@st.composite
def bodies(draw: st.DrawFn, signature: Signature) -> bytes:
    pairs = [(spec.name, draw(values(spec))) for spec in signature.inputs]
    more = draw(st.lists(st.sampled_from(sorted(PARAMETERS)), max_size=2))
    pairs += [(key, draw(st.sampled_from(PARAMETERS[key]))) for key in more]
    inner = [pair for pair in pairs if draw(st.integers(0, 5)) == 0]
    outer = [pair for pair in draw(st.permutations(pairs)) if pair not in inner or draw(st.integers(0, 9)) == 0]

    def written(pairs: list[tuple[str, str]]) -> str:
        return "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in pairs) + "}"

    if inner:
        outer.append(("parameters", written(inner)))
    before = draw(st.sampled_from([*[b""] * 9, b" \n", b"\xef\xbb\xbf", b"["]))
    after = draw(st.sampled_from([*[b""] * 9, b"\r\n", b"x", b"{}", b"}", b"\xff"]))
    return before + written(outer).encode() + after


cases = signatures().flatmap(lambda signature: st.tuples(st.just(signature), bodies(signature)))
SQUARE = signature_of(x=(-1, 2))
FIXED = signature_of(x=(2, 2))


def outcome(decoded: Any) -> Any:
    try:
        own_id, arrays, rows, priority, seconds = decoded()
    except (Malformed, Refused) as error:
        return "refused" if len(text_for(error)) < 1000 else "a refusal that quotes the whole body"
    return own_id, bits(arrays), rows, priority, seconds


@given(cases)
@example((FIXED, b'{"x":[[1,2,3,4]]}'))
@example((FIXED, b'{"x":[[1,2],[3,4]]}'))
@example((FIXED, b'{"x":[[1,2],[3]]}'))
@example((SQUARE, b'{"x":[[1,2,3,4]]}'))
@example((SQUARE, b'{"x":[]}'))
@example((SQUARE, b'{"x":[1,2],"parameters":{"x":[1,2]}}'))
@example((SQUARE, b'{"parameters":{"x":[1,2],"id":"5","timeout":1}}'))
@example((signature_of(x=(0, -1)), b'{"x":[]}'))
@example((signature_of(x=()), b'{"x":[1]}'))
@settings(max_examples=1000, deadline=None)
def test_a_request_is_read_as_the_reference_reads_it(case: tuple[Signature, bytes]) -> None:
    signature, body = case

    def own() -> Any:
        decoded = decode(body, signature)
        return decoded.form, decoded.inputs, decoded.rows, decoded.priority, decoded.timeout_seconds

    assert outcome(own) == outcome(lambda: reference(signature, body))


@given(signatures(), st.binary(max_size=60) | st.text(alphabet='[]{}",:1e.-NIntfx ', max_size=40).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused(signature: Signature, body: bytes) -> None:
    try:
        decode(body, signature)
    except Malformed:
        assert outcome(lambda: reference(signature, body)) == "refused"


@pytest.mark.parametrize(
    ("shape", "count", "filled"),
    [
        ((-1, -1), 5, (1, 5)),
        ((-1, 1), 1, (1, 1)),
        ((-1, 2), 4, (2, 2)),
        ((-1, 3, -1, 2), 12, (1, 3, 2, 2)),
        ((1, 8, 8), 64, (1, 8, 8)),
        ((-1,), 3, (3,)),
        ((), 1, ()),
        ((-1, -1), 0, (1, 0)),
        (None, 3, (3,)),
    ],
)
def test_a_flat_list_fills_the_shape_from_its_inner_end(
    shape: tuple[int, ...] | None, count: int, filled: tuple[int, ...]
) -> None:
    body = json.dumps({"x": list(range(count))}).encode()
    array = decode(body, signature_of(x=shape)).inputs["x"]
    assert array.shape == filled
    assert array.ravel().tolist() == list(range(count))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"x": [1,2,3]}', r"input 'x': 3 elements do not fill the shape \[\?, 2\]: expected a multiple of 2 in one"),
        (b'{"x": 1}', "1 elements do not fill the shape"),
        (b'{"x": [[1,2,3]]}', r"input 'x' has shape \[1, 3\], expected \[\?, 2\]"),
        (b'{"x": [true,2]}', r"input 'x'\[0\]: expected a number"),
        (b'{"x": null}', "input 'x': expected a number"),
        (b'{"y": [1,2]}', "missing input 'x': the model needs 'x'"),
        (b'{"x": [1,2], "y": [1,2]}', "parameter 'y' must be a string, a number, true or false, got a list of 2"),
        (b'{"x": [1,2], "parameters": [1]}', "'parameters' must be an object, got a list of 1"),
        (b'{"x": [1,2], "parameters": {"x": 1}}', "'x' stands under 'parameters' and beside it"),
        (b'{"x": [1,2], "id": 5}', "'id' must be a string, got 5"),
        (b"[1,2]", "the body must be a JSON object with the inputs 'x', got a list of 2"),
        (b"", "the document is empty"),
    ],
)
def test_a_refusal_says_what_came_and_what_was_expected(body: bytes, message: str) -> None:
    with pytest.raises(Malformed, match=message):
        decode(body, SQUARE)


def test_elements_of_a_shape_without_a_free_dimension_are_counted() -> None:
    with pytest.raises(Malformed, match=r"3 elements do not fill the shape \[2, 2\]: expected 4 in one list"):
        decode(b'{"x": [1,2,3]}', FIXED)


# --- answers


def codec_for(**outputs: Array) -> Generate:
    specs = tuple(TensorSpec(name, dtype_name(array), None) for name, array in outputs.items())
    return Generate(Signature((), specs, None), streams=False)


def answer(own_id: str | None = None, **outputs: Array) -> Any:
    encoded = codec_for(**outputs).encode(outputs, own_id, IDENTITY)
    assert encoded[0] == b"content-type: application/json\r\n"
    return json.loads(encoded[1])


@given(tensors(), tensors(), st.none() | st.just("mine"))
def test_outputs_are_flat_lists_and_a_single_element_stands_alone(one: Array, two: Array, own_id: str | None) -> None:
    found = answer(own_id, one=one, two=two)
    assert (found.pop("model_name"), found.pop("model_version"), found.pop("id", None)) == ("m", "1.2.3", own_id)
    assert list(found) == ["one", "two"]
    for value, array in zip(found.values(), (one, two), strict=True):
        assert isinstance(value, list) == (array.size != 1)
        assert np.ndim(value) < 2
        assert is_written(value, array)


def test_the_memory_layout_does_not_show() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert answer(y=array.T)["y"] == array.T.ravel().tolist()
    assert answer(y=array[:, ::2])["y"] == array[:, ::2].ravel().tolist()
    assert answer(y=array[1:2, 1:2])["y"] == 5.0


def test_what_is_not_finite_is_a_bare_token_and_floats_are_short() -> None:
    outputs = {"y": np.array([0.2, np.nan, -np.inf], "float32"), "word": np.array(["null"], object)}
    body = codec_for(**outputs).encode(outputs, None, IDENTITY)[1]
    assert body == b'{"model_name":"m","model_version":"1.2.3","y":[0.2,NaN,-Infinity],"word":"null"}'
    one = {"y": np.array([[np.inf]])}
    assert codec_for(**one).encode(one, None, IDENTITY)[1].endswith(b'"y":Infinity}')


def test_a_stream_is_one_event_with_the_same_document() -> None:
    outputs = {"y": np.array(["a\nb\r\u2028", "c"], object)}
    signature = Signature((), (TensorSpec("y", "string", (2,)),), None)
    plain = Generate(signature, streams=False).encode(outputs, "i", IDENTITY)
    event = Generate(signature, streams=True).encode(outputs, "i", IDENTITY)
    assert event[0] == b"content-type: text/event-stream; charset=utf-8\r\n"
    assert event[1] == b"data: " + plain[1] + b"\n\n"
    assert event[1].splitlines() == [b"data: " + plain[1], b""]


@pytest.mark.parametrize("name", ["id", "model_name", "model_version"])
def test_an_output_that_the_answer_has_no_room_for_is_no_model_for_it(name: str) -> None:
    with pytest.raises(Unsupported, match=f"key '{name}' beside the model's output of that name"):
        Generate(Signature((), (TensorSpec(name, "float32", (1,)),), None), streams=False)
