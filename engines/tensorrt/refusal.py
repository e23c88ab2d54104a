"""Why TensorRT does not take a model: a node, its operator, the reason, and what mends it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from engines.errors import LoadError

RECIPE = "int8-tensorrt"
"""The recipe that makes Q/DQ as TensorRT takes it."""

_MAKE_AGAIN = f"make the variant again with the recipe {RECIPE}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason. The model runs only without all of them."""

    node: str
    """Its name. The parser calls one that has none by its place in the file: `#0` is the first."""
    operator: str
    """Empty where no node is at fault."""
    reason: str
    mends: str


def listed(refusals: Iterable[Refusal]) -> list[str]:
    """A line for each reason. A quantized model may have hundreds of nodes of one kind: the first and their number."""
    alike: dict[tuple[str, str], list[Refusal]] = {}
    for one in refusals:
        alike.setdefault((one.reason, one.mends), []).append(one)
    return [f"{_nodes(those)}{reason}; {mends}" for (reason, mends), those in alike.items()]


def refused(refusals: Iterable[Refusal]) -> LoadError:
    """The error of a build that is not begun."""
    return LoadError("TensorRT refuses the model: " + "; ".join(listed(refusals)))


def _nodes(refusals: list[Refusal]) -> str:
    first, *others = refusals
    if not first.operator:
        return ""
    return f"node '{first.node}' ({first.operator}){f' and {len(others)} more' if others else ''}: "


# What the parser says of which operators -> what mends it. The first that fits.
_MENDS = (
    (r"^(DynamicQuantize|MatMulInteger|ConvInteger|QLinear|QuantizeLinear|DequantizeLinear)", "", _MAKE_AGAIN),
    (r"^MatMulNBits", "", f"weights by blocks want FP16 around them; take the recipe fp16 or {RECIPE}"),
    ("", "must have (the )?same (input )?type", "take the recipe fp16, which puts casts where types meet"),
    ("", "", "serve it with ONNX Runtime, or export the model otherwise"),
)


def mend_of(operator: str, reason: str) -> str:
    """What to do about what the parser said."""
    fits = (mends for ops, why, mends in _MENDS if re.search(ops, operator) and re.search(why, reason))
    return next(fits)


def reason_of(said: str) -> str:
    """The reason in what the parser says: without its own source, and without what follows from having no GPU."""
    lines = [line for line in said.splitlines() if "Cuda Runtime" not in line]
    told = lines[-1] if lines else said
    if found := re.search(r"Error Code \d+: [^(]*\((?:\S+: )?(.*?)\.? In \S+ at .*\)", told):
        return found[1]
    told = told.rpartition("Assertion failed: ")[2]
    if told.strip() in ("false", "") or "plugin" in told.lower():
        return "TensorRT has no such operator"
    if quoted := re.search(r'&& "(.*)"$', told):
        return quoted[1].rstrip(".")
    condition, _, words = told.partition(": ")
    is_code = words and re.search(r"::|->|[()=!&]", condition)
    return (words if is_code else told).partition(". Please set")[0].rstrip(".")
