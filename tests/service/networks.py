"""Models for what a server must cope with: rows that are refused, that take long, that look at their neighbours."""

import numpy as np
from onnx import ModelProto, helper

from tests.graphs import Shape, doubling, gather, model, node, value

# Side of the matrix that `slow` multiplies: a third of a millisecond a product.
_SIDE = 256
# A run of `slow` takes at least so many products: more than what the server runs on its event loop.
_LEAST_PRODUCTS = 10
PICKED_ROWS = 1000


def pick() -> ModelProto:
    """`y = 3 x` of whole numbers: refuses, while it runs, rows of PICKED_ROWS and more."""
    return gather(np.arange(PICKED_ROWS) * 3)


def slow(least_products: int = _LEAST_PRODUCTS) -> ModelProto:
    """`y = x`, after as many matrix products as the largest x of the batch: the request says how long it takes."""
    weights = {
        "turned": np.eye(_SIDE, dtype=np.float32)[::-1].copy(),
        "least": np.array(least_products),
        "zero": np.array(0, np.float32),
    }
    square = [_SIDE, _SIDE]
    product = helper.make_graph(
        [node("MatMul", ["state", "turned"], ["next_state"]), node("Identity", ["goes_on"], ["goes_on_still"])],
        "product",
        [value("i", "int64", []), value("goes_on", "bool", []), value("state", shape=square)],
        [value("goes_on_still", "bool", []), value("next_state", shape=square)],
    )
    nodes = [
        node("ReduceMax", ["x"], ["largest"], keepdims=0),
        node("Max", ["largest", "least"], ["products"]),
        node("Loop", ["products", "", "turned"], ["last"], body=product),
        node("ReduceSum", ["last"], ["sum"], keepdims=0),
        node("Mul", ["sum", "zero"], ["nothing"]),
        node("CastLike", ["nothing", "x"], ["no_whole"]),
        node("Add", ["x", "no_whole"], ["y"]),
    ]
    return model(nodes, [value("x", "int64", ["N"])], [value("y", "int64", ["N"])], weights)


def pair(shape: Shape = ("N",)) -> ModelProto:
    """`sum = a + b` and `less = a < b`, of float32 and int64: several inputs, outputs and dtypes."""
    nodes = [
        node("CastLike", ["b", "a"], ["b_float"]),
        node("Add", ["a", "b_float"], ["sum"]),
        node("Less", ["a", "b_float"], ["less"]),
    ]
    inputs = [value("a", "float32", shape), value("b", "int64", shape)]
    return model(nodes, inputs, [value("sum", "float32", shape), value("less", "bool", shape)])


def share_of_largest() -> ModelProto:
    """`y = x / max(x)` over the whole batch: what a row gets depends on its batch mates."""
    nodes = [node("ReduceMax", ["x"], ["largest"], keepdims=1), node("Div", ["x", "largest"], ["y"])]
    return model(nodes, [value("x")], [value("y")])


def echo() -> ModelProto:
    """`text_output` is `text_input`, a text a row: named and shaped as a language model's."""
    ends = [value("text_input", "string", ["N", 1])], [value("text_output", "string", ["N", 1])]
    return model([node("Identity", ["text_input"], ["text_output"])], *ends)


OF_THE_DOORS = {"double": doubling, "pick": pick, "slow": slow, "pair": pair, "echo": echo}
