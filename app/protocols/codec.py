"""What every wire format offers: bytes to named arrays that fit a signature, and back."""

from collections.abc import Hashable
from typing import Any, NamedTuple, Protocol

from app.errors import Malformed
from app.protocols.quoting import shape_text
from app.serving.batch import group_of
from app.serving.request import NORMAL_PRIORITY, Outputs
from app.serving.servable import Identity
from engines.signature import Signature, TensorSpec


class Decoded(NamedTuple):
    """A request's tensors, checked against the signature: dtype, rank, every fixed dimension, one batch length."""

    inputs: Outputs
    rows: int
    group: Hashable
    """Equal for requests whose rows fit into one batch."""
    form: Any
    """What `encode` has to know of the request to write its answer."""
    timeout_seconds: float | None = None
    """Time the client allows from its headers to its answer, where the body says so."""
    priority: int = NORMAL_PRIORITY
    """Level in the queue, see `serving.request`."""


Encoded = tuple[bytes, bytes]
"""The header lines that describe the body of an answer, and the body."""


JSON = b"content-type: application/json\r\n"
"""The header line of an answer in JSON. KServe's client wants the type exactly so, without a charset."""


SHORT_BYTES = 65_536
"""What is at most this long is decoded on the event loop, also where Python walks through every value."""


class Codec(Protocol):
    """One wire format for one signature. Made once a servable, used for all its requests."""

    def decode_quickly(self, body: bytes, json_bytes: int | None = None) -> Decoded | None:
        """The common request, in microseconds; None for what needs a closer look. On the event loop only.

        `json_bytes` is the Inference-Header-Content-Length: how much of the body is JSON, raw tensors come after it.
        """
        ...

    def decode_exactly(self, body: bytes, json_bytes: int | None = None) -> Decoded:
        """Any request, in any thread. Raises Malformed, saying which input, what came and what was expected."""
        ...

    def is_long(self, body: bytes) -> bool:
        """Whether `decode_exactly` may take so long that it belongs into a thread of its own."""
        ...

    def encode(self, outputs: Outputs, form: Any, identity: Identity) -> Encoded:
        """The answer of this servable. Raises Malformed when the asked form cannot hold these outputs."""
        ...


def check_shape(spec: TensorSpec, shape: tuple[int, ...]) -> None:
    """Raises Malformed unless the shape fits the signature."""
    wanted = spec.shape
    if wanted is None or shape == wanted:
        return
    if wanted and shape and wanted[0] == -1 and shape[1:] == wanted[1:]:
        return  # the common one, told cheaply
    if len(shape) != len(wanted) or any(w not in (-1, s) for s, w in zip(shape, wanted, strict=True)):
        raise Malformed(f"input '{spec.name}' has shape {list(shape)}, expected {shape_text(wanted)}")


def gather(signature: Signature, inputs: Outputs, form: Any) -> Decoded:
    """Bind inputs whose shapes were checked: count their rows, name their group. Raises Malformed on unequal rows."""
    if signature.batch_axis is None:
        return Decoded(inputs, 1, None, form)
    if len(inputs) == 1:
        (array,) = inputs.values()
        if array.ndim:
            return Decoded(inputs, len(array), array.shape[1:], form)
    for name, array in inputs.items():
        if not array.ndim:  # its rank is unknown to the signature
            raise Malformed(f"input '{name}' is a single value, expected a list with one entry a row")
    lengths = {name: len(array) for name, array in inputs.items()}
    rows = next(iter(lengths.values()))
    if any(length != rows for length in lengths.values()):
        came = ", ".join(f"'{name}' has {length}" for name, length in lengths.items())
        raise Malformed(f"all inputs need the same number of rows: {came}")
    return Decoded(inputs, rows, group_of(inputs), form)
