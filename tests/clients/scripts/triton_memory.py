"""System shared memory as tritonclient.utils.shared_memory makes, writes and reads it."""

from typing import Any

import numpy as np
from lines import pack, unpack
from tritonclient.utils import serialize_byte_tensor, shared_memory

_made: dict[str, shared_memory.SharedMemoryRegion] = {}


def make_region(name: str, key: str, byte_size: int) -> None:
    """Create the file and map it."""
    _made[name] = shared_memory.create_shared_memory_region(name, key, byte_size, create_only=True)


def write_region(name: str, tensor: dict[str, Any], offset: int = 0) -> int:
    """Put an array there, text as the protocol lays it out. Returns its size in bytes."""
    array = unpack(tensor)
    if array.dtype == object:
        array = np.frombuffer(serialize_byte_tensor(array).item(), np.uint8)
    shared_memory.set_shared_memory_region(_made[name], [array], offset)
    return array.nbytes


def read_region(name: str, dtype: str, shape: list[int], offset: int = 0) -> dict[str, Any]:
    """The array that lies there."""
    return pack(np.array(shared_memory.get_contents_as_numpy(_made[name], np.dtype(dtype), shape, offset)))


def drop_region(name: str) -> None:
    """Unmap it and remove the file."""
    shared_memory.destroy_shared_memory_region(_made.pop(name))


MEMORY = {call.__name__: call for call in (make_region, write_region, read_region, drop_region)}
