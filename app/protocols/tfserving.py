"""TensorFlow Serving's predict bodies: rows under `instances`, columns under `inputs`.

Source: tensorflow_serving/g3doc/api_rest.md and util/json_tensor.cc. Where it wraps around or flattens silently,
this refuses.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import simdjson

from app.errors import Malformed
from app.protocols.codec import JSON, SHORT_BYTES, Decoded, Encoded, check_shape, gather
from app.protocols.json_answers import dumps, jsonable, with_tokens
from app.protocols.json_exact import parse, tensor
from app.protocols.json_quick import NOT_NUMBERS, Numbers, RowLayout, count_lists, read_alone, read_numbers, shape_of
from app.protocols.quoting import listed, quoted
from app.protocols.shared_memory import Regions
from app.serving.request import Outputs
from app.serving.servable import Identity
from engines.engine import Array
from engines.signature import Signature

ROW = "row"
COLUMN = "column"

DEFAULT_SIGNATURES = ("", "serving_default")

# To read a value out of an object takes 1 us. More of them are no work for the event loop.
_MOST_ITEMS = 8192


class TfServing:
    """Decodes and encodes for one signature."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._specs = {spec.name: spec for spec in signature.inputs}
        self._only = signature.inputs[0] if len(signature.inputs) == 1 else None
        self._numbers = _numbers(signature)
        self._layout = _layout(signature)
        self._single_output = signature.outputs[0].name if len(signature.outputs) == 1 else None
        self._plain_output = _plain_output(signature)
        self._parser = simdjson.Parser()

    def decode_quickly(self, body: bytes, json_bytes: int | None = None) -> Decoded | None:
        """Read plain numbers; None where `decode_exactly` has to look. Raises Malformed for shapes that do not fit."""
        if self._layout is not None and (rows := self._read_rows(self._layout, body)) is not None:
            return Decoded({self._layout.name: rows}, len(rows), self._layout.row_shape, ROW)
        quick = self._numbers_in(body) if self._numbers else None
        return None if quick is None else self._fitting(*quick)

    def decode_exactly(self, body: bytes, json_bytes: int | None = None) -> Decoded:
        """Read any predict request. Raises Malformed."""
        return self._fitting(*self._values_in(body))

    def _fitting(self, form: str, inputs: Outputs) -> Decoded:
        for name, array in inputs.items():
            check_shape(self._specs[name], array.shape)
        return gather(self._signature, inputs, form)

    def is_long(self, body: bytes) -> bool:
        """As every Codec."""
        return len(body) > SHORT_BYTES

    def encode(self, outputs: Outputs, form: str, identity: Identity) -> Encoded:
        """Write the answer in the form of the request: `predictions` a row each, or `outputs` by name."""
        document = self._rows if form == ROW else self._columns
        if self._plain_output is not None and form == ROW:
            body = dumps({"predictions": outputs[self._plain_output]})
        else:
            body = dumps(document(outputs, jsonable))
        if b"null" in body:  # a value that is not finite, or a text with this word
            body = dumps(document(outputs, with_tokens))
        return JSON, body

    def _rows(self, outputs: Outputs, write: Callable[..., Any]) -> Any:
        if self._single_output is not None:
            array = outputs[self._single_output]
            if not array.ndim:
                raise _without_rows(self._single_output)
            return {"predictions": _value(self._single_output, array, write)}
        count = _row_count(outputs)
        return {
            "predictions": [
                {name: _value(name, array[i, ...], write) for name, array in outputs.items()} for i in range(count)
            ]
        }

    def _columns(self, outputs: Outputs, write: Callable[..., Any]) -> Any:
        if self._single_output is not None:
            return {"outputs": _value(self._single_output, outputs[self._single_output], write)}
        return {"outputs": {name: _value(name, array, write) for name, array in outputs.items()}}

    # --- the quick way: numbers only, every key known

    def _read_rows(self, layout: RowLayout, body: bytes) -> Array | None:
        """The most common request: nothing but `instances`, rows of the one shape that the signature allows."""
        try:
            document: Any = self._parser.parse(body)
            return layout.read(document["instances"], body) if _has_one_form(document) else None
        except NOT_NUMBERS:
            return None

    def _numbers_in(self, body: bytes) -> tuple[str, Outputs] | None:
        """What simdjson can read without a doubt; None sends the body to the exact way."""
        try:
            document: Any = self._parser.parse(body)
            if not _has_one_form(document):
                return None
            try:
                node, form, read = document["instances"], ROW, self._rows_quickly
            except KeyError:
                node, form, read = document["inputs"], COLUMN, self._columns_quickly
            inputs, lists = read(node, body)
        except NOT_NUMBERS:
            return None
        return (form, inputs) if count_lists(body) == lists else None

    def _rows_quickly(self, node: Any, text: bytes) -> tuple[Outputs, int]:
        first = node[0]
        if isinstance(first, simdjson.Array):
            return self._bare_quickly(node, text)
        if len(node) * len(self._specs) > _MOST_ITEMS:
            raise ValueError("too many items")
        items = list(node)
        if any(len(item) != len(self._specs) for item in items):
            raise ValueError("other inputs")
        inputs: Outputs = {}
        lists = 1
        for name, (rank, numbers) in self._numbers.items():
            if rank == 1:
                raise ValueError("a row holds no list")
            inputs[name], count = read_numbers([item[name] for item in items], rank - 1, numbers)
            lists += count
        return inputs, lists

    def _columns_quickly(self, node: Any, text: bytes) -> tuple[Outputs, int]:
        if isinstance(node, simdjson.Array):
            return self._bare_quickly(node, text)
        if len(node) != len(self._specs):
            raise ValueError("other inputs")
        inputs: Outputs = {}
        lists = 0
        for name, (rank, numbers) in self._numbers.items():
            stack, count = read_numbers([node[name]], rank, numbers)
            inputs[name] = stack[0]
            lists += count
        return inputs, lists

    def _bare_quickly(self, node: Any, text: bytes) -> tuple[Outputs, int]:
        ((name, (rank, numbers)),) = self._numbers.items()  # a ValueError where the model has several inputs
        array, lists = read_alone(node, shape_of(node, rank), numbers, text)
        return {name: array}, lists

    # --- the exact way: everything, and every error

    def _values_in(self, body: bytes) -> tuple[str, Outputs]:
        document = read_document(body)
        name = document.get("signature_name", "")
        if name not in DEFAULT_SIGNATURES:
            raise Malformed(f"there is no signature {quoted(name)}: an ONNX model has one, 'serving_default'")
        if ("instances" in document) == ("inputs" in document):
            raise Malformed("the body must hold exactly one of 'instances' (rows) and 'inputs' (columns)")
        if "instances" in document:
            return ROW, self._rows_exactly(document["instances"])
        return COLUMN, self._columns_exactly(document["inputs"])

    def _rows_exactly(self, items: Any) -> Outputs:
        if not isinstance(items, list) or not items:
            raise Malformed("'instances' must be a non-empty list, one item a row")
        named = _is_named(items[0])
        if any(_is_named(item) != named for item in items):
            raise Malformed("'instances' mixes plain values and objects: write every row alike")
        if not named:
            if self._only is None:
                raise Malformed(f"the model has several inputs: every row must be an object with {listed(self._specs)}")
            return {self._only.name: tensor(items, self._only)}
        for index, item in enumerate(items):
            if item.keys() != self._specs.keys():
                raise Malformed(
                    f"'instances'[{index}] has {listed(item)}, "
                    f"expected exactly the model's inputs {listed(self._specs)}"
                )
        return {name: tensor([item[name] for item in items], spec) for name, spec in self._specs.items()}

    def _columns_exactly(self, value: Any) -> Outputs:
        if not _is_named(value):
            if self._only is None:
                raise Malformed(f"the model has several inputs: 'inputs' must be an object with {listed(self._specs)}")
            return {self._only.name: tensor(value, self._only)}
        for name in self._specs:
            if name not in value:
                raise Malformed(f"missing named input '{name}' in 'inputs': it has {listed(value)}")
        return {name: tensor(value[name], spec) for name, spec in self._specs.items()}


@lru_cache(maxsize=1024)
def codec(signature: Signature, _: Regions) -> TfServing:
    """The codec of a signature; servables that share a signature share it."""
    return TfServing(signature)


def read_document(body: bytes) -> dict[str, Any]:
    """The JSON object of a predict body, with all that is checked before its model is looked up. Raises Malformed."""
    document = parse(body)
    if not isinstance(document, dict):
        raise Malformed("the body must be a JSON object with 'instances' or 'inputs'")
    if not isinstance(document.get("signature_name", ""), str):
        raise Malformed("'signature_name' must be a string")
    return document


def _has_one_form(document: Any) -> bool:
    """Whether a document's one key beside the default signature's name is left to be `instances` or `inputs`."""
    return len(document) == 1 or (len(document) == 2 and document["signature_name"] in DEFAULT_SIGNATURES)


def _numbers(signature: Signature) -> dict[str, tuple[int, Numbers]]:
    """Rank and number reader by input; empty when one of the inputs cannot be read the quick way."""
    if not all(spec.shape and Numbers.fit(spec.dtype) for spec in signature.inputs):
        return {}
    return {spec.name: (len(spec.shape or ()), Numbers(spec.dtype)) for spec in signature.inputs}


def _layout(signature: Signature) -> RowLayout | None:
    """The layout of the rows, where they are batched and only their number is left to the request."""
    if len(signature.inputs) != 1 or signature.batch_axis is None:
        return None
    (spec,) = signature.inputs
    if not spec.shape or not Numbers.fit(spec.dtype):
        return None
    batch, *row_shape = spec.shape
    fixed = batch == -1 and row_shape and all(size > 0 for size in row_shape)
    return RowLayout(spec.name, spec.dtype, tuple(row_shape)) if fixed else None


def _plain_output(signature: Signature) -> str | None:
    """The one output, where its rows go to the encoder as they are."""
    if len(signature.outputs) != 1 or not signature.outputs[0].shape:
        return None
    (spec,) = signature.outputs
    return None if spec.dtype in ("string", "bfloat16") else spec.name


def _is_named(value: Any) -> bool:
    """An object of inputs, and not a byte string."""
    return isinstance(value, dict) and not (value.keys() == {"b64"} and isinstance(value["b64"], str))


def _value(name: str, array: Array, write: Callable[..., Any]) -> Any:
    return write(array, as_b64=name.endswith("_bytes"))


def _row_count(outputs: Outputs) -> int:
    rows = None
    for name, array in outputs.items():
        if array.ndim == 0:
            raise _without_rows(name)
        if rows is not None and len(array) != rows:
            raise Malformed(
                f"output '{name}' has {len(array)} rows where another has {rows}: "
                "ask with 'inputs' instead of 'instances'"
            )
        rows = len(array)
    return rows or 0


def _without_rows(name: str) -> Malformed:
    return Malformed(f"output '{name}' has no rows: ask with 'inputs' instead of 'instances'")
