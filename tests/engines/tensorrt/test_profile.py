"""The shapes that a plan is built for."""

import pytest

from engines.errors import LoadError
from engines.signature import Signature, TensorSpec
from engines.tensorrt.build import Bounds, BuildSettings
from engines.tensorrt.profile import profile_shapes

SETTINGS = BuildSettings(rows=Bounds(1, 8, 32), lengths=Bounds(2, 64, 512))


def signature(*shapes: tuple[int, ...] | None, batch_axis: int | None = 0) -> Signature:
    inputs = tuple(TensorSpec(f"x{place}", "float32", shape) for place, shape in enumerate(shapes))
    return Signature(inputs, (TensorSpec("y", "float32", (-1, 2)),), batch_axis)


def test_the_batch_axis_takes_the_rows_and_all_else_the_lengths() -> None:
    assert profile_shapes(signature((-1, 3, -1), (-1, 5), (7, 7)), SETTINGS) == {
        "x0": ((1, 3, 2), (8, 3, 64), (32, 3, 512)),
        "x1": ((1, 5), (8, 5), (32, 5)),
    }


def test_without_a_batch_axis_every_dynamic_dimension_is_a_length() -> None:
    assert profile_shapes(signature((-1, 3), batch_axis=None), SETTINGS) == {"x0": ((2, 3), (64, 3), (512, 3))}


def test_a_length_that_nobody_bounded_is_asked_for() -> None:
    with pytest.raises(LoadError, match=r"axis 1 of input 'x0' is dynamic.*tensorrt_lengths.*1,128,512"):
        profile_shapes(signature((-1, -1)), BuildSettings())


def test_an_input_of_unknown_rank_is_refused() -> None:
    with pytest.raises(LoadError, match="input 'x0' is of unknown rank"):
        profile_shapes(signature(None), SETTINGS)
