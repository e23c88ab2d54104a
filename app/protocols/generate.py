"""Triton's generate extension: an object whose keys are inputs and parameters, answered by one whose keys are outputs.

Source: docs/protocol/extension_generate.md and src/http_server.cc (ExactMappingInput, ExactMappingOutput) of
triton-inference-server/server. Triton counts the outer list alone; here lists may be nested too, exactly as the shape.
An output whose name the answer needs for itself is dropped there and refused here.
"""

import math
from functools import lru_cache
from typing import Any

from app.errors import Malformed, Unsupported
from app.protocols.codec import JSON, SHORT_BYTES, Decoded, Encoded, check_shape, gather
from app.protocols.json_answers import dumps, jsonable, with_tokens
from app.protocols.json_exact import parse_whole, tensor
from app.protocols.open_inference_header import request_id
from app.protocols.open_inference_parameters import read_asked
from app.protocols.quoting import listed, quoted, shape_text, told
from app.protocols.shared_memory import Regions
from app.serving.request import Outputs
from app.serving.servable import Identity
from engines.engine import Array
from engines.signature import Signature, TensorSpec

_EVENTS = b"content-type: text/event-stream; charset=utf-8\r\n"
_KEYS = ("model_name", "model_version", "id")


class Generate:
    """Decodes and encodes for one signature. `streams` writes the answer as a server-sent event, the only one.

    Raises Unsupported for a model whose output has the name of another key of the answer.
    """

    def __init__(self, signature: Signature, *, streams: bool) -> None:
        for spec in signature.outputs:
            if spec.name in _KEYS:
                raise Unsupported(
                    f"the answer has a key '{spec.name}' beside the model's output of that name: "
                    "ask for it at /infer instead"
                )
        self._signature = signature
        self._streams = streams
        self._inputs = {spec.name: spec for spec in signature.inputs}

    def decode_quickly(self, body: bytes, json_bytes: int | None = None) -> Decoded | None:
        """None: a few values of mostly text need no way of their own."""
        return None

    def decode_exactly(self, body: bytes, json_bytes: int | None = None) -> Decoded:
        """Read any generate request. A key that names an input is that input, whatever else it could mean."""
        document = parse_whole(body)
        if not isinstance(document, dict):
            raise Malformed(
                f"the body must be a JSON object with the inputs {listed(self._inputs)}, got {told(document)}"
            )
        own_id = None if "id" in self._inputs else request_id(document.pop("id", None))
        given = self._flat(document)
        inputs = {name: self._input(given, spec) for name, spec in self._inputs.items()}
        asked = read_asked(given, None, self._signature)
        return gather(self._signature, inputs, own_id)._replace(
            timeout_seconds=asked.timeout_seconds, priority=asked.priority
        )

    def is_long(self, body: bytes) -> bool:
        """As every Codec."""
        return len(body) > SHORT_BYTES

    def encode(self, outputs: Outputs, form: str | None, identity: Identity) -> Encoded:
        """Write the answer: the elements of each output in one list, a single one without it."""
        about = {"model_name": identity.model, "model_version": identity.version}
        if form is not None:
            about["id"] = form
        text = dumps(about | {name: jsonable(_elements(array)) for name, array in outputs.items()})
        if b"null" in text:  # a value that is not finite, or a text with this word
            text = dumps(about | {name: with_tokens(_elements(array)) for name, array in outputs.items()})
        return (_EVENTS, b"data: %b\n\n" % text) if self._streams else (JSON, text)

    def _flat(self, document: dict[str, Any]) -> dict[str, Any]:
        """All keys in one object: what stands under `parameters` means the same as beside it."""
        if "parameters" in self._inputs:
            return document
        inner = document.pop("parameters", None)
        if inner is None:
            return document
        if not isinstance(inner, dict):
            raise Malformed(f"'parameters' must be an object, got {told(inner)}")
        if twice := document.keys() & inner.keys():
            raise Malformed(f"{quoted(min(twice))} stands under 'parameters' and beside it: give it once")
        return document | inner

    def _input(self, given: dict[str, Any], spec: TensorSpec) -> Array:
        """Take the input out of what was given."""
        if spec.name not in given:
            raise Malformed(f"missing input '{spec.name}': the model needs {listed(self._inputs)}")
        array = tensor(given.pop(spec.name), spec, takes_b64=False)
        if array.ndim < 2 and spec.shape is not None:
            array = array.reshape(_filled(spec, spec.shape, array.size))
        check_shape(spec, array.shape)
        return array


def _filled(spec: TensorSpec, shape: tuple[int, ...], count: int) -> list[int]:
    """The shape that a flat list of elements has: the innermost dynamic dimension takes what the fixed ones leave,
    every other is 1. Raises Malformed where that does not come out even."""
    found = [1 if size == -1 else size for size in shape]
    fixed = math.prod(found)
    if -1 in shape and fixed:
        found[len(shape) - 1 - shape[::-1].index(-1)] = count // fixed
    if math.prod(found) != count:
        raise Malformed(
            f"input '{spec.name}': {count} elements do not fill the shape {shape_text(shape)}: expected "
            f"{'a multiple of ' if -1 in shape else ''}{fixed} in one list, or lists that are nested as the shape"
        )
    return found


def _elements(array: Array) -> Array:
    return array.reshape(() if array.size == 1 else -1)


@lru_cache(maxsize=1024)
def codec(signature: Signature, _: Regions) -> Generate:
    """The codec of a signature for `/generate`. Raises as Generate."""
    return Generate(signature, streams=False)


@lru_cache(maxsize=1024)
def stream_codec(signature: Signature, _: Regions) -> Generate:
    """The codec of a signature for `/generate_stream`. Raises as Generate."""
    return Generate(signature, streams=True)
