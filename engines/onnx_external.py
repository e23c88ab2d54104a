"""The files beside an ONNX file that hold its large tensors."""

import os
import re
from pathlib import Path

from onnx import ModelProto, TensorProto

from engines.errors import ModelFileError
from engines.onnx_walk import tensors_of

_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")
# ONNX Runtime's mark for "the data is at this address of the process"; no file may say so.
_MEMORY_MARK = "_ORT_MEM_ADDR_"


def external_files(model: ModelProto, folder: Path) -> dict[str, Path]:
    """Every location that a tensor refers to, and the file it means: a regular one inside the folder, links resolved.

    Raises ModelFileError for a path that leaves the folder, a missing file, and a tensor beyond a file's end.
    """
    files: dict[str, Path] = {}
    for tensor in tensors_of(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            entries = {entry.key: entry.value for entry in tensor.external_data}
            location = entries.get("location", "")
            if location not in files:
                files[location] = _file(location, folder, tensor.name)
            _refuse_beyond(files[location], location, entries, tensor.name)
    return files


def _file(location: str, folder: Path, tensor: str) -> Path:
    where = f"the external data of tensor {tensor!r} is at {location!r}"
    stray = not set(location.split("/")).isdisjoint({"", ".", ".."})
    if stray or _CONTROL.search(location) or _MEMORY_MARK in location:
        raise ModelFileError(f"{where}, which is not a plain path below the model's folder. Export the model again.")
    file = Path(os.path.realpath(folder / location))
    if not file.is_relative_to(os.path.realpath(folder)):
        raise ModelFileError(f"{where}, a link that leaves the model's folder. Put the file itself there.")
    if not os.path.isfile(file):  # noqa: PTH113  Path.is_file raises where a name is too long for the system
        raise ModelFileError(f"{where}, and there is no such file beside the model. Copy it there.")
    return file


def _refuse_beyond(file: Path, location: str, entries: dict[str, str], tensor: str) -> None:
    size = file.stat().st_size
    offset, length = (_count(entries.get(key, "0"), key, tensor) for key in ("offset", "length"))
    if offset + length > size:
        raise ModelFileError(
            f"the external data of tensor {tensor!r} ends at byte {offset + length} of {location!r}, "
            f"which has {size}: the file was cut or belongs to another model"
        )


def _count(text: str, key: str, tensor: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ModelFileError(f"the external data of tensor {tensor!r} has {key} {text!r}; a number was expected")
    return int(text)
