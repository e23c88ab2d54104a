"""A model's signature: its named inputs and outputs, and which axis is the batch.

Dtypes carry numpy's names (`float32`, `bfloat16` through ml_dtypes, `bool`, ...), and `string` for text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    **{
        name: np.dtype(name)
        for name in (
            "float16", "float32", "float64",
            "int8", "int16", "int32", "int64",
            "uint8", "uint16", "uint32", "uint64",
            "bool",
        )
    },
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "string": np.dtype(object),
}  # fmt: skip
"""Signature dtype -> numpy dtype of the arrays that go in and come out. `string` arrays hold `str` objects."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One named input or output.

    `shape` holds the batch axis too; -1 is a dynamic dimension, `()` a rank-0 tensor, None an unknown rank.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs and outputs in the model's order. `batch_axis` is 0, or None for a model that is served unbatched."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batch_axis: int | None

    def to_json(self) -> dict[str, Any]:
        """The form kept in manifests: `{"inputs": [{"name", "dtype", "shape"}], "outputs": [...], "batch_axis"}`."""

        def tensors(specs: Sequence[TensorSpec]) -> list[dict[str, Any]]:
            return [
                {"name": s.name, "dtype": s.dtype, "shape": None if s.shape is None else list(s.shape)} for s in specs
            ]

        return {"inputs": tensors(self.inputs), "outputs": tensors(self.outputs), "batch_axis": self.batch_axis}

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> "Signature":
        """Read back what `to_json` wrote."""

        def tensors(items: Sequence[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
            return tuple(
                TensorSpec(i["name"], i["dtype"], None if i["shape"] is None else tuple(i["shape"])) for i in items
            )

        return Signature(tensors(record["inputs"]), tensors(record["outputs"]), record["batch_axis"])


def incompatibilities(before: Signature, after: Signature) -> list[str]:
    """What a client of `before` would notice under `after`, a line a difference; empty when it would not.

    Compatible are: the same inputs and outputs, a dimension that became dynamic in an input, one that became
    fixed in an output, an output that was added, and a model that became batchable.
    """
    lines = _compare("input", before.inputs, after.inputs, may_widen=True)
    lines += _compare("output", before.outputs, after.outputs, may_widen=False)
    if before.batch_axis is not None and after.batch_axis is None:
        lines.append("the batch axis is gone")
    return lines


def _compare(kind: str, before: Sequence[TensorSpec], after: Sequence[TensorSpec], *, may_widen: bool) -> list[str]:
    old = {spec.name: spec for spec in before}
    new = {spec.name: spec for spec in after}
    lines = [f"{kind} '{name}' is gone" for name in old if name not in new]
    if kind == "input":
        lines += [f"input '{name}' is new and every client would have to send it" for name in new if name not in old]
    for name in old.keys() & new.keys():
        if old[name].dtype != new[name].dtype:
            lines.append(f"{kind} '{name}' was {old[name].dtype} and is {new[name].dtype}")
        wide, narrow = (new[name], old[name]) if may_widen else (old[name], new[name])
        if not _covers(wide.shape, narrow.shape):
            lines.append(f"{kind} '{name}' had shape {_text(old[name].shape)} and has {_text(new[name].shape)}")
    return sorted(lines)


def _covers(wide: tuple[int, ...] | None, narrow: tuple[int, ...] | None) -> bool:
    if wide is None:
        return True
    if narrow is None or len(wide) != len(narrow):
        return False
    return all(w in (-1, n) for w, n in zip(wide, narrow, strict=True))


def _text(shape: tuple[int, ...] | None) -> str:
    return "unknown" if shape is None else str(list(shape))
