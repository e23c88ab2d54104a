"""What is measured on a GPU: three networks in three precisions, made as `octet quantize` makes them.

The digits model has its own weights and real rows; a ResNet-50 and an encoder of 6 layers have random ones, whose
errors say only that the arithmetic is right.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.networks import NETWORKS, VOCABULARY
from benchmarks.servers import ROOT
from engines.engine import Array, Arrays
from engines.onnx_file import read_onnx
from engines.onnxruntime_engine import load
from engines.quantize.half import HALF
from engines.quantize.open_rows import open_rows
from engines.quantize.recipe import Options, Recipe, Source
from engines.quantize.rows import RowsSpec
from engines.quantize.tensorrt_static import TENSORRT
from engines.signature import Signature, TensorSpec

CASES = ("digits", "resnet50", "encoder")
PRECISIONS: dict[str, Recipe | None] = {"fp32": None, "fp16": HALF[0], "int8": TENSORRT[0]}
"""Precision -> the recipe that makes it from FP32."""
_DIGITS = ROOT / "examples" / "digits"
_CALIBRATION_ROWS = 32
_ROWS_ON_THE_CPU = 32
_ALLOWED = {"fp32": 1e-3, "fp16": 2e-2, "int8": 1.5e-1}


@dataclass(frozen=True, slots=True)
class Case:
    """One network in one precision."""

    network: str
    precision: str
    path: Path
    signature: Signature
    rows: Arrays
    """As many as the largest batch has: random or real, never zeros."""
    expected: Arrays
    """What FP32 on the processor answers to the first of them."""
    processor_error: float
    """How far this file is from that on the processor."""

    @property
    def allowed_error(self) -> float:
        """As a share of the answers' length. A file that is further away on the processor may be so on a GPU."""
        return max(_ALLOWED[self.precision], 1.5 * self.processor_error)

    def error(self, found: Arrays) -> float:
        """Of answers to the first rows."""
        return _error(found, {name: array[: len(found[name])] for name, array in self.expected.items()})

    def __str__(self) -> str:
        return f"{self.network} {self.precision}"


def cases(network: str, folder: Path, most_rows: int) -> Iterator[Case]:
    """The network in every precision, FP32 first."""
    source = _DIGITS / "digits.onnx" if network == "digits" else NETWORKS[network](folder / f"{network}.onnx")
    signature = read_onnx(source).signature
    rows = _rows(network, signature, most_rows)
    some = {name: array[:_ROWS_ON_THE_CPU] for name, array in rows.items()}
    np.savez(folder / f"{network}.npz", **{name: array[:_CALIBRATION_ROWS] for name, array in rows.items()})  # type: ignore[arg-type]  # numpy's flag is a keyword too
    expected = _on_the_processor(source, signature, some)
    for precision, recipe in PRECISIONS.items():
        path = source if recipe is None else _made(recipe, Source(source, signature), folder)
        error = _error(_on_the_processor(path, signature, some), expected)
        yield Case(network, precision, path, signature, rows, expected, error)


def _rows(network: str, signature: Signature, count: int) -> dict[str, Array]:
    if network == "digits":
        with np.load(_DIGITS / "test.npz") as stored:
            return {spec.name: stored[spec.name][:count] for spec in signature.inputs}
    random = np.random.default_rng(0)
    return {spec.name: _random(random, spec, count) for spec in signature.inputs}


def _random(random: np.random.Generator, spec: TensorSpec, count: int) -> Array:
    assert spec.shape is not None
    shape = (count, *spec.shape[1:])
    if spec.dtype == "int64":
        return random.integers(0, VOCABULARY, shape)
    return random.standard_normal(shape, np.float32)


def _made(recipe: Recipe, source: Source, folder: Path) -> Path:
    own = folder / f"{source.path.stem}-{recipe.name}"
    own.mkdir()
    rows = open_rows(RowsSpec(str(folder / f"{source.path.stem}.npz")), source.signature)
    return recipe.make(source, rows, own, Options(), lambda what, share: None).main


def _on_the_processor(path: Path, signature: Signature, rows: Arrays) -> Arrays:
    engine = load(path, signature, instances=1, threads=1)
    answer = engine.runner().run(rows)
    engine.close()
    return answer


def _error(found: Arrays, expected: Arrays) -> float:
    """The length of the difference, as a share of the answers' length; infinity where it is no number."""
    distance = sum(float(((found[name] - array).astype(np.float64) ** 2).sum()) for name, array in expected.items())
    length = sum(float((array.astype(np.float64) ** 2).sum()) for array in expected.values())
    error = float(np.sqrt(distance / length))
    return error if np.isfinite(error) else float("inf")
