"""The shapes that a plan shall run: from a signature and the bounds of its dynamic dimensions."""

from engines.errors import LoadError
from engines.signature import Signature, TensorSpec
from engines.tensorrt.build import Bounds, BuildSettings

Shapes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Of one input: the least, the usual, the most."""


def profile_shapes(signature: Signature, settings: BuildSettings) -> dict[str, Shapes]:
    """Of every input with a dynamic dimension, by name. Raises LoadError where a bound is missing."""
    dynamic = [spec for spec in signature.inputs if spec.shape is None or -1 in spec.shape]
    return {spec.name: _shapes(spec, signature.batch_axis, settings) for spec in dynamic}


def _shapes(spec: TensorSpec, batch_axis: int | None, settings: BuildSettings) -> Shapes:
    if spec.shape is None:
        raise LoadError(f"input '{spec.name}' is of unknown rank; export the model with its shape")
    bounds = [_bounds(spec, axis, batch_axis, settings) for axis in range(len(spec.shape))]
    return (
        tuple(one.least for one in bounds),
        tuple(one.usual for one in bounds),
        tuple(one.most for one in bounds),
    )


def _bounds(spec: TensorSpec, axis: int, batch_axis: int | None, settings: BuildSettings) -> Bounds:
    assert spec.shape is not None
    size = spec.shape[axis]
    if size != -1:
        return Bounds(size, size, size)
    if axis == batch_axis:
        return settings.rows
    if settings.lengths is None:
        raise LoadError(
            f"axis {axis} of input '{spec.name}' is dynamic, and TensorRT must know how large it can be: "
            "set tensorrt_lengths to its least, usual and most, such as 1,128,512"
        )
    return settings.lengths
