"""Inputs whose values must lie in a table."""

import numpy as np
import pytest
from onnx import ModelProto

from engines.errors import InputRefused
from engines.index_bounds import index_bounds, refuse_indices
from tests.graphs import gather, model, node, value

TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)


def chain(*before: object, table: str = "t", axis: int = 0) -> ModelProto:
    """Nodes that end in `i`, which picks from the table."""
    ends = [value("x", "int64", ["N"])], [value("y", shape=["N", 3])]
    shape = {"t": TABLE, "s": np.array([-1]), "two": np.array([2])}
    return model([*before, node("Gather", [table, "i"], ["y"], axis=axis)], *ends, shape)  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("made", "bounds"),
    [
        (gather(), {"x": 3}),
        (chain(node("Identity", ["x"], ["i"])), {"x": 4}),
        (chain(node("Identity", ["x"], ["i"]), axis=1), {"x": 3}),
        (chain(node("Cast", ["x"], ["h"], to=6), node("Reshape", ["h", "s"], ["i"])), {"x": 4}),
        (chain(node("Identity", ["x"], ["i"]), node("Cast", ["t"], ["half"], to=10), table="half"), {"x": 4}),
        (chain(node("Identity", ["x"], ["i"]), node("Constant", [], ["c"], value_ints=[1, 2]), table="c"), {"x": 2}),
        (chain(node("Mul", ["x", "two"], ["i"])), {}),
        (chain(node("Identity", ["x"], ["i"]), node("Mul", ["t", "t"], ["m"]), table="m"), {}),
    ],
    ids=["direct", "through", "axis", "reshaped", "half", "constant", "computed", "computed table"],
)
def test_what_is_known_of_the_indices(made: ModelProto, bounds: dict[str, int]) -> None:
    assert index_bounds(made) == bounds


def test_the_smallest_table_counts() -> None:
    both = gather()
    both.graph.node.append(node("Gather", ["small", "x"], ["z"]))
    both.graph.initializer.append(both.graph.initializer[0])
    both.graph.initializer[1].name = "small"
    both.graph.initializer[1].dims[0] = 2
    assert index_bounds(both) == {"x": 2}


@pytest.mark.parametrize("index", [-5, 4])
def test_an_index_beyond_the_table_is_refused(index: int) -> None:
    with pytest.raises(InputRefused, match=rf"'x' holds {index}, an index must be within \[-4,3\]"):
        refuse_indices({"x": np.array([0, index])}, {"x": 4})


def test_every_index_of_the_table_is_taken() -> None:
    refuse_indices({"x": np.array([-4, 0, 3])}, {"x": 4})
    refuse_indices({"x": np.array([], np.int64)}, {"x": 4})
