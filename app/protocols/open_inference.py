"""The Open Inference Protocol (V2) with Triton's raw tensors, classification and shared memory.

Source: kserve/open-inference-protocol `specification/protocol/inference_rest.md` and `docs/protocol` of
triton-inference-server/server.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import simdjson

from app.errors import Malformed
from app.protocols import binary_tensors
from app.protocols.classification import classify
from app.protocols.codec import JSON, SHORT_BYTES, Decoded, Encoded, check_shape, gather
from app.protocols.json_answers import dumps, jsonable, with_tokens
from app.protocols.json_exact import MOST_DIMENSIONS, parse
from app.protocols.json_quick import NOT_NUMBERS, Numbers, count_lists, read_alone, read_flat, read_numbers
from app.protocols.open_inference_header import Header, read_header
from app.protocols.open_inference_metadata import DATATYPES
from app.protocols.open_inference_parameters import (
    INPUT_PARAMETERS,
    Asked,
    AskedOutput,
    all_outputs,
    check_fit,
    check_room,
    read_asked,
)
from app.protocols.shared_memory import Regions
from app.serving.request import Outputs
from app.serving.servable import Identity
from engines.engine import Array
from engines.signature import Signature

_BINARY = b"content-type: application/octet-stream\r\ninference-header-content-length: %d\r\n"

# Headers come from clients, so the memory of them is bounded; a model's clients use few.
_MOST_KNOWN = 256
_LONGEST_KNOWN_BYTES = 4096
# Of an input, where clients put in their own.
_MOST_PARAMETERS = 64

AskedTexts = tuple[bytes | None, bytes | None]
"""The JSON of `parameters` and of `outputs`."""
_NOTHING_ASKED = (None, None)
_OPTIONAL_KEYS = ("id", "parameters", "outputs")
_KNOWN_KEYS = {"inputs", *_OPTIONAL_KEYS}


class Form(NamedTuple):
    """What an answer has to know of its request."""

    request_id: str | None
    outputs: tuple[AskedOutput, ...]


class OpenInference:
    """Decodes and encodes for one signature."""

    def __init__(self, signature: Signature, regions: Regions) -> None:
        self._signature = signature
        self._regions = regions
        self._specs = {spec.name: spec for spec in signature.inputs}
        self._plain = Asked(all_outputs(signature, binary=False))
        self._numbers = _numbers(signature)
        self._datatypes = {spec.name: DATATYPES[spec.dtype] for spec in signature.outputs}
        self._takes_texts = any(spec.dtype == "string" for spec in signature.inputs)
        self._parser = simdjson.Parser()
        # A client sends the same JSON before its raw tensors again and again, and asks for the same outputs in the
        # same way. What a text means depends on nothing but itself, so it is read once and then looked up.
        self._known_headers: dict[bytes, Header] = {}
        self._known_asked: dict[AskedTexts, Asked] = {}

    def decode_quickly(self, body: bytes, json_bytes: int | None = None) -> Decoded | None:
        """Read plain numbers and raw tensors; None where `decode_exactly` has to look. Raises Malformed."""
        if json_bytes == 0:
            return self._raw_input(body)
        if json_bytes is None or json_bytes == len(body):
            quick = self._numbers_in(body) if self._numbers else None
            return None if quick is None else self._fitting(*quick)
        if json_bytes <= min(_LONGEST_KNOWN_BYTES, len(body)):
            return self._after_header(body, json_bytes)
        return None

    def decode_exactly(self, body: bytes, json_bytes: int | None = None) -> Decoded:
        """Read any infer request. Raises Malformed."""
        if json_bytes == 0:
            return self._raw_input(body)
        if json_bytes is None:
            header = read_header(body, self._signature)
            _refuse_raw(header)
            return self._bound(header, body, len(body))
        if json_bytes > len(body):
            raise Malformed(
                f"Inference-Header-Content-Length is {json_bytes}, the whole body has {len(body)} bytes: "
                "expected the length of the JSON that it starts with"
            )
        return self._bound(read_header(body[:json_bytes], self._signature), body, json_bytes)

    def is_long(self, body: bytes) -> bool:
        """As every Codec. A short body may point at many texts in shared memory."""
        return len(body) > SHORT_BYTES or (self._takes_texts and self._regions.largest_bytes > SHORT_BYTES)

    def encode(self, outputs: Outputs, form: Form, identity: Identity) -> Encoded:
        """Write the answer: JSON with flat lists, behind it the outputs asked for as raw bytes.

        Writes the outputs that are asked for in shared memory there. Raises Malformed where one does not fit.
        """
        document: dict[str, Any] = {"model_name": identity.model, "model_version": identity.version}
        if form.request_id is not None:
            document["id"] = form.request_id
        tails: list[binary_tensors.Buffer] = []
        entries = [self._entry(asked, outputs[asked.name], tails) for asked in form.outputs]
        document["outputs"] = entries
        text = dumps(document)
        if b"null" in text:  # a value that is not finite, or a text with this word
            for entry in entries:
                if isinstance(entry.get("data"), np.ndarray):
                    entry["data"] = with_tokens(entry["data"])
            text = dumps(document)
        body = b"".join((text, *tails)) if tails else text
        return (_BINARY % len(text) if len(body) > len(text) else JSON), body

    def _entry(self, asked: AskedOutput, array: Array, tails: list[binary_tensors.Buffer]) -> dict[str, Any]:
        """What the JSON says of an output.

        `parameters` stand only where raw bytes follow: Triton's C++ client takes any to be about those.
        """
        datatype = self._datatypes[asked.name]
        if asked.classes:
            array = classify(array, asked.classes, batched=self._signature.batch_axis is not None)
            datatype = DATATYPES["string"]
        entry: dict[str, Any] = {"name": asked.name, "shape": array.shape, "datatype": datatype}
        if asked.place is not None:
            data = bytes(binary_tensors.raw(array))
            check_fit(asked.name, len(data), asked.place)
            self._regions.write(asked.place.region, asked.place.offset, data)
        elif asked.binary:
            tail = binary_tensors.raw(array)
            entry["parameters"] = {"binary_data_size": len(tail)}
            tails.append(tail)
        else:
            entry["data"] = jsonable(array.ravel())
        return entry

    # --- raw tensors

    def _after_header(self, body: bytes, json_bytes: int) -> Decoded | None:
        """Read raw tensors behind a header that is short, and known from the second request on."""
        text = body[:json_bytes]
        header = self._known_headers.get(text)
        if header is not None:
            return self._bound(header, body, json_bytes)
        header = read_header(text, self._signature)
        if sum(tensor.bytes_apart for tensor in header.tensors if tensor.spec.dtype == "string") > SHORT_BYTES:
            return None
        decoded = self._bound(header, body, json_bytes)
        if header.request_id is None and all(tensor.values is None for tensor in header.tensors):
            _remember(self._known_headers, text, header)
        return decoded

    def _bound(self, header: Header, body: bytes, start: int) -> Decoded:
        """The request, with what lies behind its JSON, from `start` on, and in shared memory."""
        inputs: Outputs = {}
        for spec, shape, values, size_bytes, place in header.tensors:
            if size_bytes is not None:
                stop = start + size_bytes
                if stop > len(body):
                    raise Malformed(
                        f"unexpected size for input '{spec.name}': expecting {stop - len(body)} additional bytes "
                        "at the end of the body"
                    )
                inputs[spec.name] = binary_tensors.read(spec, shape, body, start, stop)
                start = stop
            elif place is not None:
                data = self._regions.read(*place)
                inputs[spec.name] = binary_tensors.read(spec, shape, data, 0, len(data))
            elif values is not None:
                inputs[spec.name] = values
        if start != len(body):
            raise Malformed(
                f"unexpected additional input data: {len(body) - start} bytes follow the last tensor of the JSON"
            )
        return self._decoded(inputs, header.request_id, header.asked)

    def _raw_input(self, body: bytes) -> Decoded:
        """A body that is nothing but the bytes of the model's one input; every output comes back as bytes."""
        inputs = self._signature.inputs
        if len(inputs) != 1:
            raise Malformed(
                f"raw request must only have 1 input to be deduced, the model has {len(inputs)}: "
                "send a JSON header, and its length as Inference-Header-Content-Length"
            )
        array = binary_tensors.read_alone(inputs[0], body, batched=self._signature.batch_axis is not None)
        return self._decoded({inputs[0].name: array}, None, Asked(all_outputs(self._signature, binary=True)))

    def _decoded(self, inputs: Outputs, request_id: str | None, asked: Asked) -> Decoded:
        decoded = gather(self._signature, inputs, Form(request_id, asked.outputs))
        if asked is self._plain:
            return decoded
        check_room(asked, self._signature, decoded.rows)
        return Decoded(*decoded[:4], asked.timeout_seconds, asked.priority)

    # --- the quick way through JSON: numbers only, every key known

    def _numbers_in(self, text: bytes) -> tuple[Outputs, str | None, AskedTexts] | None:
        """What simdjson can read without a doubt; None sends the text to the exact way."""
        try:
            document: Any = self._parser.parse(text)
            count = len(document)
            if count > len(_KNOWN_KEYS) or len(keys := set(document)) != count or not keys <= _KNOWN_KEYS:
                return None
            # Asking for a key that is not there takes 2 us.
            request_id, parameters, outputs = (document[key] if key in keys else None for key in _OPTIONAL_KEYS)
            if not (request_id is None or isinstance(request_id, str)):
                return None
            inputs, lists = self._inputs_quickly(document["inputs"], text)
            if count_lists(text) != lists + isinstance(outputs, simdjson.Array):
                return None  # some list is nested, or a text holds a bracket
            texts = _text_of(parameters), _text_of(outputs)
        except NOT_NUMBERS:
            return None
        return inputs, request_id, texts

    def _inputs_quickly(self, nodes: Any, text: bytes) -> tuple[Outputs, int]:
        """The inputs, and how many JSON lists they were read from."""
        if len(nodes) != len(self._numbers):
            raise ValueError("other inputs")
        inputs: Outputs = {}
        lists = 1
        for node in nodes:
            name = node["name"]
            datatype, numbers = self._numbers[name]
            is_plain = len(node) == 4 or (len(node) == 5 and _mean_nothing(node["parameters"]))
            if not is_plain or node["datatype"] != datatype:
                raise ValueError("not plain numbers")
            sizes = node["shape"]
            if len(sizes) > MOST_DIMENSIONS:
                raise ValueError("no shape")
            shape = tuple(memoryview(sizes.as_buffer(of_type="u")).cast("Q"))
            inputs[name], count = self._values_quickly(node["data"], shape, numbers, text)
            lists += 1 + count
        if len(inputs) != len(self._numbers):
            raise ValueError("an input twice")
        return inputs, lists

    def _values_quickly(self, data: Any, shape: tuple[int, ...], numbers: Numbers, text: bytes) -> tuple[Array, int]:
        """The tensor of that shape in a simdjson array, flat or nested, and how many JSON lists it was read from.

        Raises as `read_numbers`.
        """
        if not isinstance(data[0], simdjson.Array):
            return read_flat(data, numbers).reshape(shape), 1
        if len(self._numbers) == 1:
            return read_alone(data, shape, numbers, text)
        stack, lists = read_numbers([data], len(shape), numbers)
        if stack.shape[1:] != shape:
            raise ValueError("another shape")
        return stack[0], lists

    def _fitting(self, inputs: Outputs, request_id: str | None, texts: AskedTexts) -> Decoded:
        for name, array in inputs.items():
            check_shape(self._specs[name], array.shape)
        return self._decoded(inputs, request_id or None, self._asked(texts))

    def _asked(self, texts: AskedTexts) -> Asked:
        if texts == _NOTHING_ASKED:
            return self._plain
        asked = self._known_asked.get(texts)
        if asked is None:
            parameters, outputs = (None if text is None else parse(text) for text in texts)
            asked = read_asked(parameters, outputs, self._signature)
            _remember(self._known_asked, texts, asked)
        return asked


@lru_cache(maxsize=1024)
def codec(signature: Signature, regions: Regions) -> OpenInference:
    """The codec of a signature; servables that share a signature share it."""
    return OpenInference(signature, regions)


def _remember(known: dict[Any, Any], text: Any, meaning: Any) -> None:
    if len(known) >= _MOST_KNOWN:
        known.clear()
    known[text] = meaning


def _refuse_raw(header: Header) -> None:
    for tensor in header.tensors:
        if tensor.size_bytes is not None:
            raise Malformed(
                f"input '{tensor.spec.name}' has 'binary_data_size', and where raw tensors begin is not known: "
                "send the length of the JSON as Inference-Header-Content-Length"
            )


def _numbers(signature: Signature) -> dict[str, tuple[str, Numbers]]:
    """Datatype and number reader by input; empty when one of the inputs cannot be read the quick way."""
    if not all(Numbers.fit(spec.dtype) for spec in signature.inputs):
        return {}
    return {spec.name: (DATATYPES[spec.dtype], Numbers(spec.dtype)) for spec in signature.inputs}


def _mean_nothing(parameters: Any) -> bool:
    """Whether an input's parameters are well-formed and about none of what is spoken here (MLServer's clients)."""
    if parameters is None:
        return True
    if not isinstance(parameters, simdjson.Object) or len(parameters) > _MOST_PARAMETERS:
        return False
    named = {name: parameters[name] for name in parameters}
    return len(named) == len(parameters) and not any(
        name in INPUT_PARAMETERS or isinstance(value, simdjson.Array | simdjson.Object) for name, value in named.items()
    )


def _text_of(node: Any) -> bytes | None:
    """The JSON of what is asked. Raises ValueError where it is long: to read it is no work for the event loop then."""
    if node is None:
        return None
    text: bytes = node.mini
    if len(text) > _LONGEST_KNOWN_BYTES:
        raise ValueError("much is asked")
    return text
