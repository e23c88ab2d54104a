"""Before a context serves: every batch size runs, is captured, and its graph is held against the run before it.

On made-up rows. They also show whether padding is harmless: in one bucket, a row must answer as it did whatever the
other rows are.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from engines.batch_mates import TOLERANCE, difference
from engines.engine import Array, Arrays
from engines.errors import LoadError
from engines.samples import most_sample_rows, sample_inputs, sample_shape
from engines.signature import Signature, TensorSpec
from engines.tensorrt.context import Context, Form
from engines.tensorrt.device import CudaError
from engines.tensorrt.ports import Ports


def warm_up(context: Context, ports: Ports, signature: Signature, sizes: Iterable[int], *, graphs: bool) -> list[Form]:
    """The forms of these batch sizes, ready to run; `graphs` says whether to capture them.

    Raises LoadError for a model whose rows influence each other, and what a run raises.
    """
    usual = Signature(tuple(_usual(spec, ports) for spec in signature.inputs), signature.outputs, signature.batch_axis)
    prepared = [_prepare(context, usual, rows, graphs=graphs) for rows in sizes]
    if not _graphs_agree(context, prepared):
        for one in prepared:
            one.form.graph = None
    if signature.batch_axis is not None:
        for one in prepared:
            _refuse_mates(context, one)
    return [one.form for one in prepared]


class _Prepared(NamedTuple):
    form: Form
    sample: Arrays
    """Where rows are so large that few can be made up, the form is padded."""
    answer: Arrays
    """Without a graph."""

    def agrees(self, found: Arrays) -> bool:
        return all(difference(self.answer[name], array) <= TOLERANCE for name, array in found.items())


def _prepare(context: Context, usual: Signature, rows: int, *, graphs: bool) -> _Prepared:
    """Run a sample, twice since the first run compiles kernels and takes memory, which no capture may hold."""
    sample = sample_inputs(usual, min(rows, most_sample_rows(usual)), seed=rows)
    form = context.form({spec.name: sample_shape(spec, usual, rows) for spec in usual.inputs})
    _run(context, form, sample)
    answer = _run(context, form, sample)
    if graphs:
        context.capture(form)
    return _Prepared(form, sample, answer)


def _graphs_agree(context: Context, prepared: Iterable[_Prepared]) -> bool:
    try:
        return all(one.agrees(_run(context, one.form, one.sample)) for one in prepared)
    except CudaError:
        context.settle()
        return False


def _usual(spec: TensorSpec, ports: Ports) -> TensorSpec:
    return replace(spec, shape=ports.shapes[spec.name][1])


def _run(context: Context, form: Form, inputs: Arrays) -> dict[str, Array]:
    context.fill(form, inputs)
    context.launch(form)
    context.wait()
    return {name: view.copy() for name, view in form.outputs.items()}


def _refuse_mates(context: Context, prepared: _Prepared) -> None:
    """The first row alone, padded with itself, in place of the sample's rows."""
    form, sample, answer = prepared
    rows = len(next(iter(form.inputs.values())))
    alone = _run(context, form, {name: array[:1] for name, array in sample.items()})
    for name, array in alone.items():
        if array.shape[:1] != (rows,):
            raise LoadError(
                f"output '{name}' has no entry for each row, and batches are padded; serve this model with onnxruntime"
            )
        if difference(answer[name][:1], array[:1]) > TOLERANCE:
            raise LoadError(
                f"output '{name}' of a row depends on the rows beside it, and batches are padded; serve this model "
                "with onnxruntime"
            )
