"""Which operators a model may use: those of ONNX, ONNX Runtime's own, and functions that the model brings along."""

from collections.abc import Iterable

from onnx import FunctionProto, ModelProto, NodeProto, OperatorSetIdProto, defs

from engines.errors import ModelFileError
from engines.onnx_walk import flat

_ONNX_DOMAINS = ("", "ai.onnx.ml")
_RUNTIME_DOMAIN = "com.microsoft"  # its operators are in no schema of onnx; whether one exists shows at loading

# Functions are inlined when a model is loaded. A few that call each other twice at thirty levels would fill
# any memory, and a chain of a thousand any stack.
_MOST_NODES = 1_000_000
_MOST_LEVELS = 64

_Functions = dict[tuple[str, str, str], FunctionProto]


def refuse_unknown_operators(model: ModelProto) -> None:
    """Raise ModelFileError that names every operator which no one here knows, and for functions without an end."""
    _refuse_newer(_opsets(model.opset_import))
    functions = {(_domain_of(f.domain), f.name, f.overload): f for f in model.functions}
    unknown = _unknown(model.graph.node, _opsets(model.opset_import), functions)
    for function in model.functions:
        unknown |= _unknown(function.node, _opsets(function.opset_import), functions)
    if unknown:
        raise ModelFileError(
            f"the model uses operators that are not known: {', '.join(sorted(unknown))}. Known are those of ONNX up to "
            f"opset {defs.onnx_opset_version()} and of {_RUNTIME_DOMAIN}; custom-op libraries are not loaded. "
            "Export the model with standard operators."
        )
    _refuse_endless(model.graph.node, functions)


def _domain_of(name: str) -> str:
    """A domain's one spelling: ONNX's own may be called `ai.onnx` or nothing."""
    return "" if name == "ai.onnx" else name


def _refuse_newer(opsets: dict[str, int]) -> None:
    """An operator may mean something else in an opset that the installed onnx has not heard of."""
    for domain, newest in (("", defs.onnx_opset_version()), ("ai.onnx.ml", defs.onnx_ml_opset_version())):
        if opsets.get(domain, 0) > newest:
            raise ModelFileError(
                f"the model uses opset {opsets[domain]} of {domain or 'ai.onnx'}; known are those up to {newest}. "
                f"Export it with opset {newest} or less."
            )


def _opsets(imports: Iterable[OperatorSetIdProto]) -> dict[str, int]:
    return {_domain_of(entry.domain): entry.version for entry in imports}


def _unknown(nodes: Iterable[NodeProto], opsets: dict[str, int], functions: _Functions) -> set[str]:
    return {
        f"{node.domain}::{node.op_type}" if node.domain else node.op_type
        for node in flat(nodes)
        if _key(node) not in functions and not _known(node, opsets)
    }


def _known(node: NodeProto, opsets: dict[str, int]) -> bool:
    domain = _domain_of(node.domain)
    if domain not in _ONNX_DOMAINS:
        return domain == _RUNTIME_DOMAIN
    version = opsets.get(domain)  # that a domain is not imported is for onnx.checker to say
    return version is None or bool(defs.has(node.op_type, version, domain))


def _key(node: NodeProto) -> tuple[str, str, str]:
    return _domain_of(node.domain), node.op_type, node.overload


def _refuse_endless(nodes: Iterable[NodeProto], functions: _Functions) -> None:
    sizes: dict[tuple[str, str, str], int] = {}

    def size(nodes: Iterable[NodeProto], level: int) -> int:
        if level > _MOST_LEVELS:
            raise ModelFileError(f"the model's functions call each other in a circle, or over {_MOST_LEVELS} deep")
        total = 0
        for node in flat(nodes):
            key = _key(node)
            if key in functions and key not in sizes:
                sizes[key] = size(functions[key].node, level + 1)
            total += sizes.get(key, 1)
        return total

    if size(nodes, 0) > _MOST_NODES:
        raise ModelFileError(f"with its functions inlined the model has more than {_MOST_NODES} nodes")
