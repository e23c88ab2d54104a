"""What tensors inside a model hold while rows run through it, one row at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnxruntime
from onnx import ModelProto

from engines.engine import Array
from engines.errors import QuantizeError
from engines.onnx_signature import signature_of
from engines.quantize.answers import rows_apart
from engines.quantize.rows import Rows

_CHUNK_ROWS = 16


def activations(path: Path, tensors: Sequence[str], rows: Rows) -> Iterator[dict[str, Array]]:
    """The tensors of each row in turn. Raises QuantizeError."""
    model = onnx.load(path, load_external_data=False)
    session = open_at(model, tensors, path.parent)
    signature = signature_of(model.graph)
    for batch in rows.batches(_CHUNK_ROWS):
        for inputs in rows_apart(batch.inputs, signature):
            with refused_rows():
                found = session.run(tensors, dict(inputs))
            yield dict(zip(tensors, found, strict=True))


def open_at(model: ModelProto, tensors: Sequence[str], folder: Path | None = None) -> onnxruntime.InferenceSession:
    """The part of a model that computes these tensors, whatever their types; `folder` has the weights that it lacks.

    Raises QuantizeError.
    """
    part = onnx.ModelProto()
    part.CopyFrom(model)
    del part.graph.output[:]
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if folder is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    try:
        return onnxruntime.InferenceSession(part.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no base class but Exception
        raise QuantizeError(f"ONNX Runtime does not show what is inside this model: {error}") from error


@contextmanager
def refused_rows() -> Iterator[None]:
    """Whatever ONNX Runtime raises when it runs rows is a QuantizeError."""
    try:
        yield
    except Exception as error:  # its errors share no base class but Exception
        raise QuantizeError(f"the model does not run on the calibration rows: {error}") from error
