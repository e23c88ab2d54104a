"""From ONNX to a plan, by the TensorRT of this Python. Native code that may end the process: `build_apart` calls it.

Nothing here needs more than the standard library and TensorRT itself.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large a dynamic dimension may be: `most` is what memory is taken for, `usual` what kernels are chosen for."""

    least: int
    usual: int
    most: int


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """All that a plan depends on beside its model, library and device. Each field is part of its key."""

    rows: Bounds = Bounds(1, 32, 32)
    """Of the batch axis; for a model that has one."""
    lengths: Bounds | None = None
    """Of every other dynamic dimension; a model that has one needs it."""
    workspace_bytes: int = 2 << 30
    """Most memory that kernels may take for themselves. TensorRT would take all of the device's."""
    optimization_level: int = 3
    """0 builds fastest, 5 looks longest for fast kernels."""
    tf32: bool = True
    """Whether FP32 products may be computed with 10 bits of mantissa; not where a variant is called fp32."""

    @staticmethod
    def from_json(record: dict[str, Any]) -> "BuildSettings":
        """Read back what `dataclasses.asdict` gave. Raises KeyError and TypeError."""
        bounds = {key: Bounds(**record[key]) for key in ("rows", "lengths") if record[key] is not None}
        return BuildSettings(**(record | bounds))
