"""What stands for a model in the key of a plan."""

import json
from hashlib import file_digest, sha256
from pathlib import Path

import onnx

from engines.onnx_external import external_files


def onnx_digest(path: Path) -> str:
    """Of the ONNX file and of the external data it names: it changes with any byte. Raises ModelFileError."""
    digests = {}
    for name, file in {"": path, **external_files(onnx.load(path, load_external_data=False), path.parent)}.items():
        with file.open("rb") as opened:
            digests[name] = file_digest(opened, "sha256").hexdigest()
    return sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
