"""Writes what `engines.openvino_engine` opens."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.quantize.recipe import Made

if TYPE_CHECKING:
    from openvino import Model


def write_ir(model: "Model", precision: str, folder: Path, details: Mapping[str, Any]) -> Made:
    """An IR whose floats are computed in `precision`, `f32` or `bf16`, and whose weights are as they are."""
    import openvino

    from engines.openvino_engine import PRECISION

    model.set_rt_info(precision, PRECISION)
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    return Made(folder / "model.xml", {"model.bin": folder / "model.bin"}, details)
