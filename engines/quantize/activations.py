"""What tensors inside a model hold while rows run through it, a batch at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnxruntime

from engines.engine import Array
from engines.errors import QuantizeError
from engines.onnx_signature import signature_of
from engines.quantize.answers import as_taken
from engines.quantize.rows import Rows

_BATCH_ROWS = 16


def activations(path: Path, tensors: Sequence[str], rows: Rows) -> Iterator[dict[str, Array]]:
    """The tensors of each batch in turn, of each row without a batch axis; the file holds all of its weights."""
    model = onnx.load(path)
    signature = signature_of(model.graph)
    outputs = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in outputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for batch in rows.batches(_BATCH_ROWS):
        for inputs in as_taken(batch.inputs, signature):
            with refused_rows():
                found = session.run(tensors, dict(inputs))
            yield dict(zip(tensors, found, strict=True))


@contextmanager
def refused_rows() -> Iterator[None]:
    """Whatever ONNX Runtime raises when it runs rows is a QuantizeError."""
    try:
        yield
    except Exception as error:  # its errors share no base class but Exception
        raise QuantizeError(f"the model does not run on the calibration rows: {error}") from error
