"""Quantizes with NNCF, in the environment that has it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

import nncf
import numpy as np
import openvino
from nncf.quantization.advanced_parameters import (
    AdvancedQuantizationParameters,
    AdvancedSmoothQuantParameters,
    OverflowFix,
)
from openvino import CompiledModel, Model

from engines.engine import Array, Arrays
from engines.errors import QuantizeError
from engines.machine import has_vnni
from engines.openvino_inputs import openvino_message
from engines.quantize.answers import Answering, as_taken
from engines.quantize.float_errors import FloatErrors, is_float
from engines.quantize.metrics import read_metric
from engines.quantize.openvino_graph import is_transformer, operations_of
from engines.quantize.recipe import Progress, Source
from engines.quantize.rows import Batch, Rows
from engines.quantize.scores import default_metric
from engines.signature import Signature

_BATCH_ROWS = 8
_MOST_COMPARED_BATCHES = 8


class Mending(NamedTuple):
    """What is done against the error of quantizing."""

    smooths: bool
    """SmoothQuant, of transformers."""
    corrects: bool
    """Fast bias correction: what a layer makes of its mean input is moved to where it was."""


# Both may add to the error, so both ways are tried: SmoothQuant costs a small transformer of digits 12 dB, bias
# correction a convolution net 10 dB, for images that are empty at their edges are not at all like their mean.
_OF_TRANSFORMERS = (Mending(smooths=True, corrects=True), Mending(smooths=False, corrects=True))
_OF_OTHERS = (Mending(smooths=False, corrects=True), Mending(smooths=False, corrects=False))


class Quantized(NamedTuple):
    """One way to quantize, what came of it, and how near it is to FP32 on some calibration rows."""

    mending: Mending
    model: Model
    sqnr_db: float


class Quantizing:
    """One model in FP32, to be quantized in several ways. Raises QuantizeError in OpenVINO's words."""

    def __init__(self, source: Source, rows: Rows, exclude: tuple[str, ...]) -> None:
        """`exclude` names nodes of the source that stay as they are; raises QuantizeError for one that it has not."""
        self._source = source
        self._rows = rows
        with _in_words():
            # Not `read_model`: biases whose shape is still to be worked out would not be found to be corrected.
            self._model = openvino.convert_model(source.path)
        transforms = is_transformer(self._model)
        self._mendings = _OF_TRANSFORMERS if transforms else _OF_OTHERS
        self._how = {
            "preset": nncf.QuantizationPreset.MIXED,  # asymmetric activations, as ReLU leaves them
            "subset_size": rows.count,
            "model_type": nncf.ModelType.TRANSFORMER if transforms else None,
            "ignored_scope": nncf.IgnoredScope(names=operations_of(exclude, self._model, source.path)),
        }
        self._items = _Items(rows)
        self._calibration = nncf.Dataset(self._items, lambda item: next(as_taken(item.inputs, source.signature)))

    def nearest(self, progress: Progress) -> Quantized:
        """The way whose answers are nearest to those of the source."""
        ways: list[Quantized] = []
        for mending in self._mendings:
            progress("quantizing", len(ways) / len(self._mendings))
            with _in_words():
                model = nncf.quantize(
                    self._model, self._calibration, **self._how, advanced_parameters=_advanced(mending)
                )
                ways.append(Quantized(mending, model, self._sqnr_db(model)))
        return max(ways, key=lambda way: way.sqnr_db)

    def restored(self, mending: Mending, max_drop: float) -> Model:
        """Quantized, then layers made float again, those that cost most first, until the metric drops no further."""
        metric = read_metric(
            default_metric(self._source, self._rows.has_labels), self._source.signature, self._rows.has_labels
        )
        source = self._answering(_compiled(self._model))

        def judged(model: CompiledModel, items: Iterable[Batch]) -> tuple[float, list[float]]:
            variant = self._answering(model)
            values = [
                float(metric(source.answer(item.inputs), variant.answer(item.inputs), item.labels)[1].mean())
                for item in items
            ]
            return float(np.mean(values)), values

        with _in_words():
            return nncf.quantize_with_accuracy_control(
                self._model,
                self._calibration,
                nncf.Dataset(self._items),
                judged,
                max_drop=max_drop,
                **self._how,
                advanced_quantization_parameters=_advanced(mending),
            )

    def _sqnr_db(self, model: Model) -> float:
        if not any(is_float(spec.dtype) for spec in self._source.signature.outputs):
            return 0.0
        one, other = (self._answering(_compiled(side)) for side in (self._model, model))
        errors = FloatErrors()
        for inputs, _ in islice(self._rows.batches(_BATCH_ROWS), _MOST_COMPARED_BATCHES):
            errors.add(one.answer(inputs), other.answer(inputs))
        return errors.sqnr_db

    def _answering(self, model: CompiledModel) -> Answering:
        signature = self._source.signature
        return Answering(_Runner(model, signature), signature, signature.batch_axis is not None)


class _Items:
    """The rows one by one, as often as they are asked for: NNCF reads them several times."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return self._rows.count

    def __iter__(self) -> Iterator[Batch]:
        for inputs, labels in self._rows.batches(_BATCH_ROWS):
            for position in range(len(next(iter(inputs.values())))):
                one = slice(position, position + 1)
                row = {name: array[one] for name, array in inputs.items()}
                yield Batch(row, None if labels is None else labels[one])


class _Runner:
    """See `engines.engine.Runner`."""

    def __init__(self, model: CompiledModel, signature: Signature) -> None:
        self._model = model
        self._outputs = [spec.name for spec in signature.outputs]

    def run(self, inputs: Arrays) -> dict[str, Array]:
        answers = self._model(dict(inputs))
        return {name: answers[name] for name in self._outputs}


def _compiled(model: Model) -> CompiledModel:
    return openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def _advanced(mending: Mending) -> AdvancedQuantizationParameters:
    return AdvancedQuantizationParameters(
        overflow_fix=OverflowFix.DISABLE if has_vnni() else OverflowFix.ENABLE,  # weights of 7 bits
        disable_bias_correction=not mending.corrects,
        smooth_quant_alphas=AdvancedSmoothQuantParameters(**({} if mending.smooths else {"matmul": -1})),
    )


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, nncf.ValidationError) as error:
        raise QuantizeError(f"OpenVINO cannot quantize this model: {openvino_message(error)}") from error
