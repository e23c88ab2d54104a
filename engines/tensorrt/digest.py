"""What stands for a model in the key of a plan."""

import json
from collections.abc import Mapping
from hashlib import file_digest, sha256
from pathlib import Path

from engines.onnx_external import external_files
from engines.onnx_file import parse_onnx


def onnx_digest(path: Path) -> str:
    """Of the ONNX file and of the external data it names: it changes with any byte. Raises ModelFileError."""
    digests = {}
    for name, file in {"": path, **external_files(parse_onnx(path), path.parent)}.items():
        with file.open("rb") as opened:
            digests[name] = file_digest(opened, "sha256").hexdigest()
    return digest_of(digests)


def digest_of(files: Mapping[str, str]) -> str:
    """The same from digests that are known: of the ONNX file under the empty name, of the others under theirs."""
    return sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()
