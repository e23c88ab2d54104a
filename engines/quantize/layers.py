"""Error by layer: what quantizing does to each tensor, beside what the arithmetic of rounding predicts."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from engines.engine import Array, Arrays
from engines.quantize.activations import open_at
from engines.quantize.answers import rows_apart
from engines.quantize.arithmetic import predicted_sqnr_db, sqnr_db
from engines.quantize.error_shares import error_shares
from engines.quantize.layer_graph import Graph, Quantizer, Tap, taps
from engines.quantize.recipe import Source
from engines.quantize.report import MOST_DB, Layer
from engines.quantize.rows import Rows

_ROWS = 8
_RUNS = 64  # of the source, to tell where the error comes from: one for each row and tensor
_TAPS = 32  # at a time: each holds a tensor of one row, of both graphs
_ENOUGH_DB = 30.0  # an error of 3 %
_OWN_DB = 6.0  # twice the error of what came in
_FEW_LEVELS_DB = 25.0
_CLIPPED = 0.001
_EXCLUDABLE = {"Conv", "MatMul", "Gemm"}


@dataclass(slots=True)
class _Sums:
    """Of one tensor over the rows."""

    values: int = 0
    signal: float = 0.0
    noise: float = 0.0
    non_zero: int = 0
    clipped: int = 0
    single: bool = False
    """Whether both sides are float32."""

    def add(self, expected: Array, found: Array, quantizer: Quantizer | None) -> None:
        one, other = expected.astype(np.float64).ravel(), found.astype(np.float64).ravel()
        self.values += one.size
        self.signal += float((one**2).sum())
        self.noise += float(((one - other) ** 2).sum())
        self.non_zero += int(np.count_nonzero(one))
        if quantizer is not None:
            low, high = ((bound - quantizer.zero) * quantizer.scale for bound in (quantizer.least, quantizer.most))
            self.clipped += int(((one < low - quantizer.scale / 2) | (one > high + quantizer.scale / 2)).sum())

    @property
    def sqnr_db(self) -> float:
        return sqnr_db(self.signal, self.noise)


def measure_layers(source: Source, variant: Path, rows: Rows) -> tuple[Layer, ...]:
    """Worst first, on a few rows; nothing for a variant that is no ONNX file. Raises QuantizeError."""
    if variant.suffix != ".onnx":
        return ()
    graphs = Graph(source.path), Graph(variant)
    inputs = next(iter(rows.batches(_ROWS))).inputs
    found = taps(*graphs)
    sums: dict[str, _Sums] = {}
    for start in range(0, len(found), _TAPS):
        sums |= _compare(graphs, found[start : start + _TAPS], rows_apart(inputs, source.signature))
    single = [tap for tap in found if sums[tap.tensor].single]
    some = islice(rows_apart(inputs, source.signature), max(1, _RUNS // max(1, len(single))))
    shares = error_shares(*graphs, single, some)
    layers = [_layer(tap, sums, shares) for tap in found if sums[tap.tensor].values]
    return tuple(sorted(layers, key=lambda layer: layer.sqnr_db))


def worst_layer(layers: Sequence[Layer], excluded: Collection[str]) -> str | None:
    """The node to leave as it is next: that with the largest share in the error; None where none is left."""
    left = [layer for layer in layers if layer.operator in _EXCLUDABLE and layer.node not in excluded]
    return max(left, key=lambda layer: layer.share or 0.0).node if left else None


def _compare(graphs: tuple[Graph, Graph], some: tuple[Tap, ...], rows: Iterator[Arrays]) -> dict[str, _Sums]:
    names = [tap.tensor for tap in some], [tap.variant_tensor for tap in some]
    sessions = [open_at(graph.model, wanted, graph.folder) for graph, wanted in zip(graphs, names, strict=True)]
    sums = {tap.tensor: _Sums() for tap in some}
    for row in rows:
        sides = (session.run(wanted, row) for session, wanted in zip(sessions, names, strict=True))
        for tap, expected, found in zip(some, *sides, strict=True):
            if expected.dtype.kind == found.dtype.kind == "f" and expected.shape == found.shape:
                sums[tap.tensor].add(expected, found, tap.quantizer)
                sums[tap.tensor].single = expected.dtype == found.dtype == np.float32
    return sums


def _layer(tap: Tap, sums: Mapping[str, _Sums], shares: Mapping[str, float]) -> Layer:
    own = sums[tap.tensor]
    predicted = None if tap.quantizer is None else predicted_sqnr_db(own.signal, own.non_zero, tap.quantizer.scale)
    before = min((sums[name].sqnr_db for name in tap.before), default=MOST_DB)
    advice = _advice(tap, own.sqnr_db, predicted, before, own.clipped / own.values)
    share = shares.get(tap.node, 0.0) if own.single else None
    return Layer(tap.node, tap.operator, tap.tensor, own.sqnr_db, predicted, advice, share)


def _advice(tap: Tap, sqnr: float, predicted: float | None, before: float, clipped: float) -> str:
    """What to try, the likeliest cause first."""
    if sqnr >= _ENOUGH_DB:
        return "good as it is"
    if clipped > _CLIPPED:
        return f"{clipped:.1%} of its values are cut off: calibrate with more rows, or by MinMax"
    if before - sqnr < _OWN_DB:
        return "most of its error comes from the layers before: mend those first"
    if tap.per_tensor_weights:
        return f"try weights with a scale for each channel, or exclude {tap.node}"
    if predicted is not None and predicted < _FEW_LEVELS_DB:
        return f"a few large values take the range: try entropy or percentile calibration, or exclude {tap.node}"
    return f"its own error: exclude {tap.node}"
