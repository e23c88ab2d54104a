"""What OpenVINO would answer wrongly instead of refusing it, found before it runs.

Each was seen: a Gather whose index is beyond its table answers zeros; 64-bit integers are computed in 32 bits; and a
stream that could not infer shapes fails in every run that follows.
"""

import re
from threading import Lock

import numpy as np
from openvino import Model, PartialShape

from engines.engine import Array, Arrays
from engines.errors import InputRefused, LoadError
from engines.index_bounds import refuse_beyond
from engines.samples import sample_shape
from engines.signature import Signature

_INT32 = np.iinfo(np.int32)
_MOST_KNOWN_SHAPES = 4096
# `Exception from src/inference/src/cpp/infer_request.cpp:223:` and `Check 'a == b' failed at src/a/b.cpp:12:`
_SOURCE = re.compile(
    r"Exception from \S+:\d+:|Check '.*?' failed at \S+:\d+:|\[ GENERAL_ERROR \]|Caught exception:|\S+\.[ch]pp:\d+:?"
)

Shapes = tuple[tuple[str, tuple[int, ...]], ...]


class InputCheck:
    """Judges inputs for one model. Thread-safe."""

    def __init__(self, model: Model, signature: Signature) -> None:
        """Raises LoadError for a model in which values decide shapes: those cannot be judged before the run."""
        self._lock = Lock()
        self._model = model
        self._known: set[Shapes] = set()
        self._table_sizes = _table_sizes(model)
        shapes = tuple((spec.name, sample_shape(spec, signature, 1)) for spec in signature.inputs)
        undecided = self._undecided(shapes)
        if undecided:
            raise LoadError(
                f"the values of an input decide the shape of {undecided!r}, for which OpenVINO's failures cannot be "
                "told from answers; serve this model with onnxruntime"
            )

    def refuse(self, inputs: Arrays) -> None:
        """Raises InputRefused for values or shapes that OpenVINO would answer wrongly."""
        for name, array in inputs.items():
            _refuse_beyond_32_bits(name, array)
        for name, size in self._table_sizes.items():
            refuse_beyond(name, inputs[name], size)
        shapes = tuple((name, array.shape) for name, array in inputs.items())
        if shapes not in self._known:
            self._refuse_shapes(shapes)

    def _refuse_shapes(self, shapes: Shapes) -> None:
        with self._lock:
            try:
                self._reshape(shapes)
            except RuntimeError as error:
                raise InputRefused(
                    f"the model refused the dimensions {dict(shapes)}: {openvino_message(error)}"
                ) from None
            if len(self._known) >= _MOST_KNOWN_SHAPES:
                self._known = set()
            self._known.add(shapes)

    def _undecided(self, shapes: Shapes) -> str | None:
        """An operation whose output has no static shape although all inputs have."""
        try:
            self._reshape(shapes)
        except RuntimeError:  # made-up shapes that do not fit together
            return None
        for operation in self._model.get_ops():
            if any(output.get_partial_shape().is_dynamic for output in operation.outputs()):
                return str(operation.get_friendly_name())
        return None

    def _reshape(self, shapes: Shapes) -> None:
        self._model.reshape({name: PartialShape(list(shape)) for name, shape in shapes})


def openvino_message(error: Exception) -> str:
    """OpenVINO's words without the places in its source; of a model that it cannot convert, those that sum up."""
    words = str(error).rpartition("Summary:\n-- ")[2]
    return " ".join(_SOURCE.sub("", words).split())


def _refuse_beyond_32_bits(name: str, array: Array) -> None:
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 8 or not array.size:
        return
    low, high = int(array.min()), int(array.max())
    if low < _INT32.min or high > _INT32.max:
        raise InputRefused(
            f"'{name}' holds values from {low} to {high}, and this variant computes in 32 bits: at least "
            f"{_INT32.min}, at most {_INT32.max}; ask for the variant fp32 with such values"
        )


def _table_sizes(model: Model) -> dict[str, int]:
    """Input name -> rows of the smallest constant table that its values pick from."""
    sizes: dict[str, int] = {}
    for operation in model.get_ops():
        if operation.get_type_name() != "Gather":
            continue
        table, indices, axis = (operation.input_value(index) for index in range(3))
        source = indices.get_node()
        while source.get_type_name() == "Convert":
            source = source.input_value(0).get_node()
        if source.get_type_name() != "Parameter" or axis.get_node().get_type_name() != "Constant":
            continue
        rows = table.get_partial_shape()[int(axis.get_node().data.item())]
        if rows.is_static:
            for name in source.output(0).get_names():
                sizes[name] = min(rows.get_length(), sizes.get(name, rows.get_length()))
    return sizes
