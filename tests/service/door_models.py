"""The models that the doors are tested with."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

_FLOAT, _INT64 = TensorProto.FLOAT, TensorProto.INT64
# Side of the matrix that `slow` multiplies: a third of a millisecond a product.
_SIDE = 256
# A run of `slow` takes at least so many products: more than what the server runs on its event loop.
_LEAST_PRODUCTS = 10
PICKED_ROWS = 1000


def double(path: Path) -> Path:
    """`y = x + x`, two numbers a row."""
    return _save(
        path, [helper.make_node("Add", ["x", "x"], ["y"])], _value("x", _FLOAT, ["n", 2]), _value("y", _FLOAT, ["n", 2])
    )


def pick(path: Path) -> Path:
    """`y = table[x]` with `table[i] = 3 i`: refuses, while it runs, rows of PICKED_ROWS and more."""
    table = numpy_helper.from_array(np.arange(PICKED_ROWS, dtype=np.int64) * 3, "table")
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    return _save(path, [node], _value("x", _INT64, ["n"]), _value("y", _INT64, ["n"]), [table])


def slow(path: Path) -> Path:
    """`y = x`, after as many matrix products as the largest x of the batch: the request says how long it takes."""
    constants = {
        "turned": np.eye(_SIDE, dtype=np.float32)[::-1].copy(),
        "least": np.array(_LEAST_PRODUCTS, np.int64),
        "zero": np.array(0, np.float32),
    }
    product = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "turned"], ["next_state"]),
            helper.make_node("Identity", ["goes_on"], ["goes_on_still"]),
        ],
        "product",
        [_value("i", _INT64, []), _value("goes_on", TensorProto.BOOL, []), _value("state", _FLOAT, [_SIDE, _SIDE])],
        [_value("goes_on_still", TensorProto.BOOL, []), _value("next_state", _FLOAT, [_SIDE, _SIDE])],
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
        helper.make_node("Max", ["largest", "least"], ["products"]),
        helper.make_node("Loop", ["products", "", "turned"], ["last"], body=product),
        helper.make_node("ReduceSum", ["last"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Cast", ["nothing"], ["no_whole"], to=_INT64),
        helper.make_node("Add", ["x", "no_whole"], ["y"]),
    ]
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    return _save(path, nodes, _value("x", _INT64, ["n"]), _value("y", _INT64, ["n"]), weights)


def pair(path: Path) -> Path:
    """`sum = a + b` and `less = a < b`: two inputs, two outputs."""
    nodes = [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Less", ["a", "b"], ["less"])]
    graph = helper.make_graph(
        nodes,
        "pair",
        [_value("a", _FLOAT, ["n"]), _value("b", _FLOAT, ["n"])],
        [_value("sum", _FLOAT, ["n"]), _value("less", TensorProto.BOOL, ["n"])],
    )
    return _write(path, graph)


MODELS = {"double": double, "pick": pick, "slow": slow, "pair": pair}


def _value(name: str, dtype: int, shape: Sequence[str | int]) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def _save(
    path: Path, nodes: Sequence[NodeProto], x: ValueInfoProto, y: ValueInfoProto, weights: Sequence[TensorProto] = ()
) -> Path:
    return _write(path, helper.make_graph(nodes, "g", [x], [y], weights))


def _write(path: Path, graph: onnx.GraphProto) -> Path:
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path
