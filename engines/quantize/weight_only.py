"""Weights in 4 or 8 bits, by blocks along the inputs; what goes in and out stays float. For size more than for speed.

The products become ONNX Runtime's MatMulNBits. Its own quantizer needs further libraries; this one needs none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from engines.engine import Array
from engines.quantize.arithmetic import Grid, block_scales, dequantize, middle, quantize
from engines.quantize.gptq import compensate, second_moments
from engines.quantize.onnxruntime_prepare import Prepared, prepare
from engines.quantize.onnxruntime_write import write_quantized
from engines.quantize.recipe import Made, Options, Progress, Source, calibration_rows
from engines.quantize.rows import Rows
from engines.quantize.weights import add_constant, drop_unused, held_constants, products, unfuse

_INT8_ARITHMETIC = 4  # MatMulNBits' accuracy_level


class Blocks(NamedTuple):
    """Quantized blocks of weights, one a line; the zero points are None where they are the middle of the grid."""

    quantized: Array
    scales: Array
    zeros: Array | None


Fit = Callable[[Array, Grid], Blocks]


def round_to_nearest(blocks: Array, grid: Grid) -> Blocks:
    """Each weight by itself."""
    scales = block_scales(blocks, grid)
    return Blocks(quantize(blocks, scales, middle(grid), grid), scales, None)


def half_quadratic(blocks: Array, grid: Grid) -> Blocks:
    """Zero points that make the errors sparse, found by half-quadratic splitting (HQQ, Badri and Shaji 2023).

    By turns: shrink the errors towards 0 as an l_0.7 norm does, and move the zero point to the mean of what is left.
    """
    low, high = blocks.min(axis=1, keepdims=True), blocks.max(axis=1, keepdims=True)
    scales = np.where(high > low, (high - low) / grid.most, 1).astype(np.float32)
    zeros = -low / scales
    sharpness = 10.0
    for _ in range(20):
        quantized = quantize_to(blocks, scales, zeros, grid)
        errors = blocks - dequantize(quantized, scales, zeros)
        size = np.abs(errors)
        kept = np.sign(errors) * np.maximum(size - (size + 1e-8) ** -0.3 / sharpness, 0)
        zeros = (quantized - (blocks - kept) / scales).mean(axis=1, keepdims=True, dtype=np.float32)
        sharpness *= 1.01
    return Blocks(quantize_to(blocks, scales, zeros, grid), scales, zeros)


def quantize_to(blocks: Array, scales: Array, zeros: Array, grid: Grid) -> Array:
    """With zero points between the integers, which are added before rounding."""
    return quantize(blocks + zeros * scales, scales, 0, grid)


@dataclass(frozen=True, slots=True)
class WeightOnly:
    """A recipe; see `engines.quantize.recipe.Recipe`."""

    name: str
    summary: str
    bits: int
    block: int
    fit: Fit = round_to_nearest
    compensates: bool = False
    """Whether GPTQ fits them instead; that needs rows."""
    is_candidate: bool = False
    engine: str = "onnxruntime"
    needs: tuple[str, ...] = ()
    tool: str | None = None

    @property
    def calibrates(self) -> bool:
        return self.compensates

    def refuses(self, source: Source) -> str | None:
        if products(onnx.load(source.path, load_external_data=False)):
            return None
        return "the model has no MatMul or Gemm with constant FP32 weights, and only those can be held in blocks"

    def make(self, source: Source, rows: Rows | None, folder: Path, options: Options, progress: Progress) -> Made:
        prepared = prepare(source.path, folder, options.exclude)
        rows = calibration_rows(self.name, rows) if self.compensates else None
        return Made(
            write_quantized(folder, lambda path: self._write(prepared, rows, path, progress)),
            details={
                "method": "weight-only",
                "weights": f"{self.bits} bits, a scale for each block of {self.block}",
                "fit": "GPTQ" if self.compensates else self.fit.__name__.replace("_", " "),
                "excluded": list(options.exclude),
            },
        )

    def _write(self, prepared: Prepared, rows: Rows | None, path: Path, progress: Progress) -> None:
        """Each product becomes a MatMulNBits; those that share weights go on to do so, unless GPTQ fits them."""
        model = onnx.load(prepared.path)
        unfuse(model, _taken(model, prepared))
        nodes = _taken(model, prepared)
        held = held_constants(model)
        moments = second_moments(prepared.path, sorted({node.input[0] for node in nodes}), rows) if rows else {}
        names: dict[str, list[str]] = {}
        for done, node in enumerate(nodes):
            progress("quantizing", done / len(nodes))
            of_what = node.name if moments else node.input[1]
            if of_what not in names:
                parts = self._fitted(numpy_helper.to_array(held[node.input[1]]), moments.get(node.input[0]))
                names[of_what] = [add_constant(model, part, f"{of_what}_{name}") for name, part in parts.items()]
            inputs, outputs = held[node.input[1]].dims
            node.CopyFrom(self._node(node, names[of_what], inputs, outputs))
        drop_unused(model)
        if "com.microsoft" not in {opset.domain for opset in model.opset_import}:
            model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        onnx.save(model, path)

    def _fitted(self, weights: Array, moments: Array | None) -> dict[str, Array]:
        """As MatMulNBits takes them; zero points where they are not the middle."""
        grid = Grid(0, 2**self.bits - 1)
        if moments is None:
            found = self.fit(_blocks(weights, self.block), grid)
        else:
            found = _compensated(weights, moments, self.block, grid)
        packed = _packed(found.quantized, self.bits).reshape(weights.shape[1], -1, self.block * self.bits // 8)
        parts = {"quantized": packed, "scales": found.scales.ravel()}
        return parts if found.zeros is None else {**parts, "zeros": found.zeros.ravel()}

    def _node(self, product: NodeProto, weights: list[str], inputs: int, outputs: int) -> NodeProto:
        return helper.make_node(
            "MatMulNBits",
            [product.input[0], *weights],
            list(product.output),
            name=product.name,
            domain="com.microsoft",
            accuracy_level=_INT8_ARITHMETIC,
            K=inputs,
            N=outputs,
            bits=self.bits,
            block_size=self.block,
        )


def _taken(model: ModelProto, prepared: Prepared) -> list[NodeProto]:
    return [node for node in products(model) if node.name not in prepared.excluded]


def _compensated(weights: Array, moments: Array, block: int, grid: Grid) -> Blocks:
    quantized, scales = compensate(weights, moments, block, grid)
    return Blocks(_blocks(quantized, block), scales.T.reshape(-1, 1), None)


def _blocks(weights: Array, size: int) -> Array:
    """[inputs, outputs] -> [outputs x blocks, size]; the last block of an output is filled up with zeros."""
    padded = np.pad(weights.T, ((0, 0), (0, -weights.shape[0] % size)))
    return np.asarray(padded.reshape(-1, size), np.float32)


def _packed(quantized: Array, bits: int) -> Array:
    """Bytes: of two halves the first is the lower one."""
    whole = quantized.astype(np.uint8)
    return whole if bits == 8 else whole[:, ::2] | whole[:, 1::2] << 4


WEIGHT_ONLY = (
    WeightOnly("int8-weight", "weights in 8 bits by blocks of 128, the rest float", bits=8, block=128),
    WeightOnly("int4-weight", "weights in 4 bits by blocks of 32, rounded to nearest", bits=4, block=32),
    WeightOnly("int4-weight-hqq", "weights in 4 bits by blocks of 32, zero points fitted (HQQ)", 4, 32, half_quadratic),
    WeightOnly(
        "int4-weight-gptq", "weights in 4 bits by blocks of 32, errors made up for (GPTQ)", 4, 32, compensates=True
    ),
)
