"""Answers kept by the rows that they answer to, so that a model runs once however often it is asked."""

import hashlib
import os
from tempfile import SpooledTemporaryFile

import numpy as np

from engines.engine import Array, Arrays
from engines.quantize.columns import to_bytes
from engines.quantize.fit import restored, storable
from engines.signature import Signature

_IN_MEMORY_BYTES = 64 << 20
_MOST_BYTES = 4 << 30  # to read more again takes about as long as to compute it again


class KeptAnswers:
    """In memory as long as they are few, then in a temporary file. What finds no room is not kept."""

    def __init__(self, signature: Signature, most_bytes: int = _MOST_BYTES) -> None:
        self._outputs = signature.outputs
        self._left_bytes = most_bytes
        self._file = SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115  closed by `close`
        self._places: dict[bytes, int] = {}

    def get(self, inputs: Arrays) -> dict[str, Array] | None:
        """What was kept for these rows."""
        place = self._places.get(_key(inputs))
        if place is None:
            return None
        self._file.seek(place)
        return {spec.name: restored(np.lib.format.read_array(self._file), spec.dtype) for spec in self._outputs}

    def put(self, inputs: Arrays, answers: Arrays) -> None:
        """Keep the answers to these rows, if there is room."""
        arrays = [storable(answers[spec.name]) for spec in self._outputs]
        self._left_bytes -= sum(array.nbytes for array in arrays)
        if self._left_bytes < 0:
            return
        place = self._file.seek(0, os.SEEK_END)
        try:
            for array in arrays:
                np.lib.format.write_array(self._file, array, allow_pickle=False)
        except OSError:  # no space left
            self._left_bytes = 0
        else:
            self._places[_key(inputs)] = place

    def close(self) -> None:
        """Forget them all."""
        self._places.clear()
        self._file.close()


def _key(inputs: Arrays) -> bytes:
    digest = hashlib.sha256()
    for name, array in inputs.items():
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(to_bytes(array))
    return digest.digest()
