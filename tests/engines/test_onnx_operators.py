"""Which operators pass, which are refused by name, and functions that would fill any memory."""

import pytest
from onnx import FunctionProto, ModelProto, NodeProto, helper

from engines.errors import ModelFileError
from engines.onnx_operators import refuse_unknown_operators
from tests.graphs import model, node, value

OURS = {"ours": 1}


def of(
    *nodes: NodeProto, opsets: dict[str, int] | None = None, functions: list[FunctionProto] | None = None
) -> ModelProto:
    return model(
        nodes,
        [value("x", "float32", ["N"])],
        [value("y", "float32", ["N"])],
        opsets={**OURS, **(opsets or {})},
        functions=functions or [],
    )


def function(name: str, *nodes: NodeProto) -> FunctionProto:
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("ours", 1)]
    return helper.make_function("ours", name, ["x"], ["y"], nodes, imports)


def call(name: str, domain: str = "") -> NodeProto:
    return node(name, ["x"], ["y"], domain=domain)


def branch(inner: NodeProto) -> NodeProto:
    body = helper.make_graph([inner], "body", [], [value("y", "float32", None)])
    return node("If", ["c"], ["y"], then_branch=body, else_branch=body)


@pytest.mark.parametrize(
    ("name", "domain"), [("Relu", ""), ("Relu", "ai.onnx"), ("Scaler", "ai.onnx.ml"), ("Gelu", "com.microsoft")]
)
def test_known_operators_pass(name: str, domain: str) -> None:
    refuse_unknown_operators(of(call(name, domain), opsets={"ai.onnx.ml": 3, "com.microsoft": 1}))


@pytest.mark.parametrize(
    ("name", "domain", "shown"),
    [
        ("Frobnicate", "", "Frobnicate"),
        ("relu", "", "relu"),
        ("Relu", "ours", "ours::Relu"),
        ("Relu", "com.microsoft.nchwc", "com.microsoft.nchwc::Relu"),
        ("StringSplit", "ai.onnx.contrib", "ai.onnx.contrib::StringSplit"),
    ],
)
def test_unknown_operators_are_named(name: str, domain: str, shown: str) -> None:
    with pytest.raises(ModelFileError, match=f"not known: {shown}\\. .*custom-op libraries are not loaded"):
        refuse_unknown_operators(of(call("Relu"), call(name, domain), opsets={domain or "ai.onnx.ml": 1}))


def test_every_unknown_operator_is_named_once_wherever_it_is() -> None:
    made = of(
        call("Zap"), call("Zap"), branch(call("Hidden")), call("F", "ours"), functions=[function("F", call("Inner"))]
    )
    with pytest.raises(ModelFileError, match="not known: Hidden, Inner, Zap\\."):
        refuse_unknown_operators(made)


def test_an_operator_is_looked_up_in_the_opset_that_is_imported() -> None:
    refuse_unknown_operators(of(call("Gelu"), opsets={"": 20}))
    with pytest.raises(ModelFileError, match="not known: Gelu"):
        refuse_unknown_operators(of(call("Gelu"), opsets={"": 19}))


@pytest.mark.parametrize(("domain", "shown"), [("", "ai.onnx"), ("ai.onnx.ml", "ai.onnx.ml")])
def test_an_opset_from_the_future_is_refused(domain: str, shown: str) -> None:
    with pytest.raises(ModelFileError, match=rf"opset 999 of {shown}; known are those up to \d+"):
        refuse_unknown_operators(of(call("Relu"), opsets={domain: 999}))


def test_functions_of_the_model_are_known() -> None:
    refuse_unknown_operators(
        of(call("F", "ours"), functions=[function("F", call("G", "ours")), function("G", call("Relu"))])
    )


@pytest.mark.parametrize("wrap", [lambda inner: inner, branch], ids=["plain", "in a branch"])
def test_functions_that_call_each_other_in_a_circle_are_refused(wrap: object) -> None:
    circle = [function("F", wrap(call("G", "ours"))), function("G", call("F", "ours"))]  # type: ignore[operator]
    with pytest.raises(ModelFileError, match="in a circle"):
        refuse_unknown_operators(of(call("F", "ours"), functions=circle))


def test_functions_that_would_fill_any_memory_are_refused() -> None:
    doubling = [function(f"F{i}", call(f"F{i + 1}", "ours"), call(f"F{i + 1}", "ours")) for i in range(40)]
    functions = [*doubling, function("F40", call("Relu"))]
    with pytest.raises(ModelFileError, match="more than 1000000 nodes"):
        refuse_unknown_operators(of(call("F0", "ours"), functions=functions))
    refuse_unknown_operators(of(call("F30", "ours"), functions=functions))


def test_functions_that_would_fill_any_stack_are_refused() -> None:
    chain = [function(f"F{i}", call(f"F{i + 1}", "ours")) for i in range(5000)]
    with pytest.raises(ModelFileError, match="in a circle, or over 64 deep"):
        refuse_unknown_operators(of(call("F0", "ours"), functions=[*chain, function("F5000", call("Relu"))]))
