"""Which models may share a batch: runners written by hand show one dependence each."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from app.serving.parity import batch_dependence
from engines.engine import Arrays

Array = np.ndarray[Any, Any]


class Function:
    """A hand-written runner that applies a function to `x`; it notes the batch sizes it saw."""

    def __init__(self, function: Callable[[Array], Array]) -> None:
        self.function = function
        self.sizes: list[int] = []

    def run(self, inputs: Arrays) -> dict[str, Array]:
        self.sizes.append(len(inputs["x"]))
        return {"y": self.function(inputs["x"])}


ROWS = np.random.default_rng(7).normal(size=(8, 5)).astype("float32")


def verdict(function: Callable[[Array], Array], rows: Array = ROWS) -> str | None:
    return batch_dependence(Function(function), {"x": rows})


def noisy(x: Array) -> Array:
    """Another order of summation for another batch size."""
    return (x * (1 + 1e-6 * len(x))).astype("float32")


def one_infinite(x: Array) -> Array:
    y = noisy(x)
    y[:, 0], y[:, 1] = -np.inf, np.inf
    return y


def one_nan(x: Array) -> Array:
    y = noisy(x)
    y[:, 0] = np.nan
    return y


INDEPENDENT: dict[str, Callable[[Array], Array]] = {
    "softmax of each row": lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True),
    "rounding": noisy,
    "a masked value": one_infinite,
    "a value that is no number": one_nan,
    "nothing but NaN": lambda x: np.full_like(x, np.nan),
    "zeros": np.zeros_like,
    "one integer a row": lambda x: x.argmax(axis=1),
    "one truth a row": lambda x: x.sum(axis=1) > 0,
    "truths": lambda x: x > 0,
    "one string a row": lambda x: np.array([f"class {i}" for i in x.argmax(axis=1)], object),
    "strings": lambda x: np.array([[f"{v:.3f}" for v in row] for row in x], object),
    "one number a row": lambda x: x.sum(axis=1),
    "empty rows": lambda x: x[:, :0],
    "half precision": lambda x: x.astype("float16"),
    "bfloat16": lambda x: x.astype(ml_dtypes.bfloat16),
}

DEPENDENT: dict[str, Callable[[Array], Array]] = {
    "softmax over the batch": lambda x: np.exp(x) / np.exp(x).sum(axis=0, keepdims=True),
    "an activation scale of the whole batch": lambda x: np.round(x * (100 / np.abs(x).max())) / (100 / np.abs(x).max()),
    "the first row is different": lambda x: x + (np.arange(len(x)) == 0)[:, None] * (len(x) > 1),
    "the last row is different": lambda x: x + (np.arange(len(x)) == len(x) - 1)[:, None] * (len(x) > 1),
    "only pairs are wrong": lambda x: x + (len(x) == 2),
    "NaN in company": lambda x: np.where(len(x) > 1, np.nan, x),
    "infinite in company": lambda x: np.where(len(x) > 1, np.inf, x),
    "NaN alone": lambda x: np.where(len(x) > 1, x, np.nan),
    "the sign of the infinite": lambda x: np.full_like(x, np.inf if len(x) > 1 else -np.inf),
    "another integer": lambda x: np.full(len(x), len(x)),
    "another truth": lambda x: np.full(len(x), len(x) > 1),
    "another string": lambda x: np.full(len(x), str(len(x)), object),
    "a batch axis that a lone row loses": lambda x: np.squeeze(x.sum(axis=1, keepdims=True)),
    "another width": lambda x: x[:, : 1 + len(x) // 2],
}  # fmt: skip


@pytest.mark.parametrize("name", INDEPENDENT)
def test_rows_that_keep_their_answers_may_share_a_batch(name: str) -> None:
    assert verdict(INDEPENDENT[name]) is None


@pytest.mark.parametrize("name", DEPENDENT)
def test_rows_that_influence_each_other_are_caught(name: str) -> None:
    told = verdict(DEPENDENT[name])
    assert told is not None
    assert told.startswith("output 'y' of a row changes by ")
    assert "when the row shares a batch of " in told


def test_an_output_that_does_not_grow_with_the_batch_is_caught() -> None:
    assert verdict(lambda x: x.sum(axis=0)) == "output 'y' has shape [5] for 8 rows"
    assert verdict(lambda x: x.sum()) == "output 'y' has shape [] for 8 rows"
    assert verdict(lambda x: x[1:]) == "output 'y' has shape [7, 5] for 8 rows"


def test_every_smaller_power_of_two_is_tried() -> None:
    runner = Function(lambda x: x)
    assert batch_dependence(runner, {"x": ROWS}) is None
    assert runner.sizes == [1] * 8 + [8, 4, 2]
    assert verdict(lambda x: x.sum(axis=0), ROWS[:1]) is None, "one row has no company"
