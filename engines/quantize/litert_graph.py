"""A PyTorch module as a .tflite file, and that file in INT8. Imported only where LiteRT's converter is.

LiteRT fixes the shapes of what it runs. So a file holds a function for each of some batch sizes, which share their
weights: `rows_1`, `rows_8`. Their inputs and outputs are float, or integers where the module's are, and have the names
of the signature.
"""

from collections.abc import Iterator
from pathlib import Path

import litert_torch
import numpy as np
from ai_edge_litert.tools import flatbuffer_utils
from ai_edge_quantizer import recipe
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.calibrator import CalibrationInterpreter, CalibrationMode
from ai_edge_quantizer.qtyping import TFLOperationName
from ai_edge_quantizer.quantizer import QuantizationResult, Quantizer
from ai_edge_quantizer.utils import qsv_utils
from torch import Tensor, nn

from engines.engine import Arrays
from engines.errors import QuantizeError
from engines.quantize.answers import as_taken
from engines.quantize.network import in_order, tensors
from engines.quantize.recipe import Progress
from engines.quantize.rows import Rows
from engines.samples import sample_inputs
from engines.signature import Signature

# A row of a batch of 8 costs 10 % less than a lone one, and one of 32 no less than that.
_SIZES = (1, 8)


def write(network: nn.Module, signature: Signature, path: Path) -> None:
    """Write the module as it is. Raises QuantizeError for one that cannot be converted."""
    named = _Named(network, signature).eval()
    converter = litert_torch
    for rows in _sizes(signature):
        inputs = tensors(sample_inputs(signature, rows, seed=0), signature)
        example = {spec.name: tensor for spec, tensor in zip(signature.inputs, inputs, strict=True)}
        converter = converter.signature(f"rows_{rows}", named, sample_kwargs=example)
    try:
        converter.convert().export(str(path))
    except Exception as error:
        raise QuantizeError(f"LiteRT cannot convert the module: {error}") from error


def quantize_static(path: Path, signature: Signature, rows: Rows, to: Path, progress: Progress) -> None:
    """Quantize weights and activations of the file, with ranges from the smallest and largest value of all rows.

    Each function is run on all of them, so that all have the same ranges and answer a row alike.
    """
    interpreter = CalibrationInterpreter(
        str(path), CalibrationMode.CALIBRATION_PRESERVE_ALL_TENSORS, qsv_utils.min_max_update
    )
    done, sizes = 0, _sizes(signature)
    for size in sizes:
        run = interpreter.get_signature_runner(f"rows_{size}")
        dtypes = {name: details["dtype"] for name, details in run.get_input_details().items()}
        for inputs in _filled(rows, size, signature):
            run(**{name: array.astype(dtypes[name]) for name, array in inputs.items()})
            done += size
            progress("calibrating", 0.6 + 0.3 * min(1.0, done / (rows.count * len(sizes))))
    quantizer = Quantizer(str(path), recipe.static_wi8_ai8())
    for operation in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        quantizer.update_quantization_recipe(".*", operation, algorithm_key=AlgorithmName.NO_QUANTIZE)
    _save(quantizer.quantize(interpreter.get_calibration_results()), to)


def quantize_dynamic(path: Path, to: Path) -> None:
    """Quantize the weights of the file; activations are quantized while it runs, each row by itself."""
    _save(Quantizer(str(path), recipe.dynamic_wi8_afp32()).quantize(), to)


def _save(quantized: QuantizationResult, to: Path) -> None:
    """Write the file without the names that the converter gave to all tensors inside.

    They spell out the user's modules and classes, and take up to a third of a small file; functions know their inputs
    and outputs by number.
    """
    model = flatbuffer_utils.convert_bytearray_to_object(quantized.quantized_model)
    for graph in model.subgraphs:
        for number, tensor in enumerate(graph.tensors):
            tensor.name = str(number).encode()
    flatbuffer_utils.write_model(model, str(to))


class _Named(nn.Module):  # type: ignore[misc]
    """A module that takes and gives tensors by the names of the signature, as the file will."""

    def __init__(self, network: nn.Module, signature: Signature) -> None:
        super().__init__()
        self.network = network
        self._inputs = [spec.name for spec in signature.inputs]
        self._outputs = [spec.name for spec in signature.outputs]

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        answers = in_order(self.network(*(inputs[name] for name in self._inputs)))
        return dict(zip(self._outputs, answers, strict=True))


def _sizes(signature: Signature) -> tuple[int, ...]:
    return _SIZES if signature.batch_axis is not None else (1,)


def _filled(rows: Rows, size: int, signature: Signature) -> Iterator[Arrays]:
    """All rows, so many at a time; the last one stands in for those that the last batch lacks."""
    for batch in rows.batches(size):
        whole = {
            name: np.concatenate([array, *[array[-1:]] * (size - len(array))]) for name, array in batch.inputs.items()
        }
        yield from as_taken(whole, signature)
