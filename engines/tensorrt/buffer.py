"""Memory of one tensor on both sides of the bus, held for as long as a context lives."""

import ctypes
import math
from contextlib import ExitStack
from typing import Any

import numpy as np

from engines.engine import Array
from engines.errors import RunError
from engines.tensorrt.device import Cuda


class Buffer:
    """Room for the largest shape, at addresses that do not change: a captured graph holds on to them."""

    def __init__(self, cuda: Cuda, size_bytes: int, held: ExitStack) -> None:
        """`held` gives both sides back. Raises DeviceMemoryFull."""
        self.size_bytes = max(size_bytes, 1)
        self.device = cuda.allocate(self.size_bytes)
        held.callback(cuda.free, self.device)
        self.host = cuda.allocate_pinned(self.size_bytes)
        held.callback(cuda.free_pinned, self.host)
        self._bytes = np.ctypeslib.as_array((ctypes.c_ubyte * self.size_bytes).from_address(self.host))

    def view(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """This machine's side as an array of this shape. Raises RunError where it does not fit."""
        size_bytes = math.prod(shape) * dtype.itemsize
        if size_bytes > self.size_bytes:
            raise RunError(
                f"a tensor became {list(shape)}, which is more than the {self.size_bytes} bytes that TensorRT asks for "
                "at most; serve this model with onnxruntime"
            )
        return self._bytes[:size_bytes].view(dtype).reshape(shape)
