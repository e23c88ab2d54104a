"""Signatures: their JSON, and which change a client would notice."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.signature import NUMPY_DTYPES, Signature, TensorSpec, incompatibilities

Shape = tuple[int, ...] | None

specs = st.builds(
    TensorSpec,
    name=st.text(min_size=1, max_size=8),
    dtype=st.sampled_from(sorted(NUMPY_DTYPES)),
    shape=st.none() | st.lists(st.integers(-1, 2**62), max_size=4).map(tuple),
)
spec_lists = st.lists(specs, max_size=4, unique_by=lambda spec: spec.name).map(tuple)
signatures = st.builds(Signature, spec_lists, spec_lists, st.sampled_from([None, 0]))


def one(
    input_shape: Shape = (-1, 4), output_shape: Shape = (-1, 2), *, batch_axis: int | None = 0, dtype: str = "float32"
) -> Signature:
    """A signature of one input `x` and one output `y`."""
    return Signature((TensorSpec("x", dtype, input_shape),), (TensorSpec("y", "float32", output_shape),), batch_axis)


def two_outputs() -> Signature:
    return Signature(one().inputs, (*one().outputs, TensorSpec("z", "int64", (-1,))), 0)


def two_inputs() -> Signature:
    return Signature((*one().inputs, TensorSpec("mask", "bool", (-1, 4))), one().outputs, 0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(one(), one(), id="nothing changed"),
        pytest.param(one((-1, 4)), one((-1, -1)), id="an input dimension became dynamic"),
        pytest.param(one((-1, 4)), one(None), id="an input takes any rank"),
        pytest.param(one(output_shape=(-1, -1)), one(output_shape=(-1, 2)), id="an output dimension became fixed"),
        pytest.param(one(output_shape=None), one(output_shape=(-1, 2)), id="an output's rank became known"),
        pytest.param(one(), two_outputs(), id="an output was added"),
        pytest.param(one(batch_axis=None), one(), id="it became batchable"),
        pytest.param(
            two_outputs(), Signature(two_outputs().inputs, two_outputs().outputs[::-1], 0), id="another order"
        ),
    ],
)
def test_what_a_client_does_not_notice(before: Signature, after: Signature) -> None:
    assert incompatibilities(before, after) == []


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        pytest.param(one((-1, -1)), one((-1, 4)), "input 'x' had shape [-1, -1] and has [-1, 4]", id="input narrowed"),
        pytest.param(one((-1, 4)), one((-1, 5)), "input 'x' had shape [-1, 4] and has [-1, 5]", id="input size"),
        pytest.param(one((-1, 4)), one((-1, 4, 1)), "input 'x' had shape [-1, 4] and has [-1, 4, 1]", id="input rank"),
        pytest.param(one(None), one((-1, 4)), "input 'x' had shape unknown and has [-1, 4]", id="input rank known"),
        pytest.param(
            one(output_shape=(-1, 2)),
            one(output_shape=(-1, -1)),
            "output 'y' had shape [-1, 2] and has [-1, -1]",
            id="output widened",
        ),
        pytest.param(
            one(output_shape=(-1, 2)),
            one(output_shape=None),
            "output 'y' had shape [-1, 2] and has unknown",
            id="output rank lost",
        ),
        pytest.param(
            one(output_shape=(2,)), one(output_shape=()), "output 'y' had shape [2] and has []", id="output rank"
        ),
        pytest.param(one(), one(dtype="int64"), "input 'x' was float32 and is int64", id="dtype"),
        pytest.param(two_outputs(), one(), "output 'z' is gone", id="output gone"),
        pytest.param(two_inputs(), one(), "input 'mask' is gone", id="input gone"),
        pytest.param(
            one(), two_inputs(), "input 'mask' is new and every client would have to send it", id="input added"
        ),
        pytest.param(one(), one(batch_axis=None), "the batch axis is gone", id="batch axis gone"),
    ],
)
def test_what_a_client_notices(before: Signature, after: Signature, line: str) -> None:
    assert incompatibilities(before, after) == [line]


def test_every_difference_is_told() -> None:
    after = Signature((TensorSpec("x", "int8", (4,)),), (TensorSpec("other", "float32", ()),), None)
    assert incompatibilities(one(), after) == [
        "input 'x' had shape [-1, 4] and has [4]",
        "input 'x' was float32 and is int8",
        "output 'y' is gone",
        "the batch axis is gone",
    ]


@given(signatures)
def test_json_brings_the_same_signature_back(signature: Signature) -> None:
    assert Signature.from_json(json.loads(json.dumps(signature.to_json()))) == signature


@given(signatures)
def test_a_signature_is_compatible_with_itself(signature: Signature) -> None:
    assert incompatibilities(signature, signature) == []


@given(signatures, signatures, signatures)
def test_what_no_step_breaks_the_whole_way_keeps(first: Signature, second: Signature, third: Signature) -> None:
    if not incompatibilities(first, second) and not incompatibilities(second, third):
        assert not incompatibilities(first, third)
