"""Opens a .tflite file, and finds in it what runs a signature.

A file holds functions, which LiteRT calls signatures, of fixed shapes for the most part: one for each batch size. One
without has a single nameless function.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from ai_edge_litert.interpreter import Interpreter

from engines.engine import Array
from engines.errors import LoadError
from engines.litert_tensors import Convert, Details, decoder, encoder
from engines.signature import Signature, TensorSpec

_WHERE = re.compile(r"\S*/\S+\.(?:cc|h):\d+ ")
_NODE = re.compile(r"\.?\s*Node number (\d+) \((\w+)\) failed to (\w+)\.")


class Callee(Protocol):
    """A function of the file. Given other shapes than before, it takes those if it can."""

    def get_input_details(self) -> Mapping[str, Details]: ...
    def get_output_details(self) -> Mapping[str, Details]: ...
    def __call__(self, **inputs: Array) -> Mapping[str, Array]: ...


class Port(NamedTuple):
    """An input or output: its name in the signature and in the file, and what lies between its two dtypes."""

    name: str
    key: str
    convert: Convert


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the file that runs the signature."""

    call: Callee
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    rows: int | None
    """How many rows it takes, no more and no fewer; None where it takes any number, or where there is no batch."""
    is_fixed: bool
    """Whether no dimension is open, so that it runs or it does not, whatever comes in."""


class Opened:
    """A file with memory of its own to run it in, for one thread at a time. The weights are shared by the file."""

    def __init__(self, path: Path, signature: Signature, threads: int, *, any_rows: bool = True) -> None:
        """With `any_rows` false, a function that says it takes any number is used for one row at a time.

        Raises LoadError: the file is none, or none of its functions runs the signature.
        """
        try:
            self._interpreter = Interpreter(str(path), num_threads=threads)
            fitting = _fitting(list(_callees(self._interpreter)), signature)
            self.is_quantized = self._has_scales()
            """Whether anything in it is computed in integers that stand for floats: those know no NaN."""
        except (ValueError, RuntimeError, TypeError) as error:  # the last for an index that is no such number
            raise LoadError(f"LiteRT cannot load the model: {litert_message(str(error))}") from None
        least = None if any_rows or signature.batch_axis is None else 1
        # Of two functions that take as many rows, the file's first one counts.
        self.functions = {function.rows or least: function for function in reversed(fitting)}
        """By the number of rows they take; None takes any, and where there is no batch it is the only one."""

    def _has_scales(self) -> bool:
        return any(
            len(details["quantization_parameters"]["scales"])
            for index in range(self._interpreter.num_subgraphs())
            for details in self._interpreter.get_tensor_details(index)
        )


def litert_message(text: str) -> str:
    """LiteRT's words without the places in its source."""
    return " ".join(_NODE.sub(r" (node \1, \2, failed to \3)", _WHERE.sub("", text)).split())


class _WholeFile:
    """The function of a file that names none; TensorFlow writes its tensors as `serving_default_x:0`."""

    def __init__(self, interpreter: Interpreter) -> None:
        self._interpreter = interpreter
        self._indices = {name: details["index"] for name, details in self.get_input_details().items()}

    def get_input_details(self) -> Mapping[str, Details]:
        return {_bare(details["name"]): details for details in self._interpreter.get_input_details()}

    def get_output_details(self) -> Mapping[str, Details]:
        return {_bare(details["name"]): details for details in self._interpreter.get_output_details()}

    def __call__(self, **inputs: Array) -> Mapping[str, Array]:
        for name, array in inputs.items():
            self._interpreter.resize_tensor_input(self._indices[name], array.shape)
        self._interpreter.allocate_tensors()
        for name, array in inputs.items():
            self._interpreter.set_tensor(self._indices[name], array)
        self._interpreter.invoke()
        outputs = self.get_output_details()
        return {name: self._interpreter.get_tensor(details["index"]) for name, details in outputs.items()}


def _bare(name: str) -> str:
    return name.removeprefix("serving_default_").partition(":")[0]


def _callees(interpreter: Interpreter) -> Iterator[Callee]:
    names = interpreter.get_signature_list()
    for name in names:
        yield interpreter.get_signature_runner(name)
    if not names:
        yield _WholeFile(interpreter)


def _fitting(callees: Sequence[Callee], signature: Signature) -> list[Function]:
    """Those that fit. Raises LoadError with what is wrong with the first where none does."""
    functions, refusals = [], []
    for callee in callees:
        try:
            functions.append(_function(callee, signature))
        except LoadError as error:
            refusals.append(error)
    if not functions:
        raise refusals[0]
    return functions


def _function(call: Callee, signature: Signature) -> Function:
    """Raises LoadError."""
    inputs = _named("inputs", signature.inputs, call.get_input_details())
    outputs = _named("outputs", signature.outputs, call.get_output_details())
    for spec, (_, details) in inputs.items():
        _refuse_shape(spec, details, signature, may_fix=False)
    for spec, (_, details) in outputs.items():
        _refuse_shape(spec, details, signature, may_fix=True)
    shapes = [_shape(details) for _, details in inputs.values()]
    return Function(
        call,
        tuple(Port(spec.name, key, encoder(spec, details)) for spec, (key, details) in inputs.items()),
        tuple(Port(spec.name, key, decoder(spec, details)) for spec, (key, details) in outputs.items()),
        None if signature.batch_axis is None else _rows(shapes),
        is_fixed=not any(-1 in shape for shape in shapes),
    )


def _named(
    kind: str, wanted: Sequence[TensorSpec], found: Mapping[str, Details]
) -> dict[TensorSpec, tuple[str, Details]]:
    """Each with its key in the file: its name, or whatever it is called where there is but one. Raises LoadError."""
    if len(wanted) == len(found) == 1:
        return {wanted[0]: next(iter(found.items()))}
    names = [spec.name for spec in wanted]
    if sorted(names) != sorted(found):
        raise LoadError(f"the file's {kind} are {sorted(found)}, its signature says {names}")
    return {spec: (spec.name, found[spec.name]) for spec in wanted}


def _shape(details: Details) -> tuple[int, ...]:
    """-1 is a dimension that is open."""
    return tuple(int(size) for size in details["shape_signature"])


def _refuse_shape(spec: TensorSpec, details: Details, signature: Signature, *, may_fix: bool) -> None:
    """Raises LoadError where a dimension behind the batch differs. `may_fix` lets the file fix one that is open."""
    found, wanted = _shape(details), spec.shape
    if may_fix and not found:  # not known before it runs
        return
    behind = 0 if signature.batch_axis is None else 1
    if (
        wanted is None
        or len(found) != len(wanted)
        or not all(
            here in (-1, size) or (may_fix and size == -1)
            for here, size in zip(found[behind:], wanted[behind:], strict=True)
        )
    ):
        raise LoadError(
            f"'{spec.name}' of the file has the shape {list(found)}, its signature says "
            f"{'any rank' if wanted is None else list(wanted)}; export the file with that shape"
        )


def _rows(inputs: Sequence[tuple[int, ...]]) -> int | None:
    """How many rows the inputs take: one number, or None for any. Raises LoadError."""
    rows = {shape[0] for shape in inputs}
    if len(rows) > 1 or min(rows) < -1 or 0 in rows:
        raise LoadError(f"the file's inputs have the shapes {[list(shape) for shape in inputs]}, so no number of rows")
    (size,) = rows
    return None if size == -1 else size
