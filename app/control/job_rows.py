"""Which files a job may read: what lies below one folder, which the operator named."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.errors import Malformed
from model_store.names import check_variant


def files_of(wish: Mapping[str, Any], root: Path) -> list[tuple[str, str]]:
    """The options of `octet quantize` that name files, with their values: rows, and what is to be taken in.

    Raises Malformed for what is not there or lies elsewhere, InvalidName for what no variant may be called.
    """
    rows = [(key, str(rows_below(root, wish[key]))) for key in ("calibration", "evaluate") if wish[key] is not None]
    imports = wish.get("imports", {})  # a job of an older Octet has none
    return [*rows, *(("import", f"{check_variant(name)}={_import(root, file)}") for name, file in imports.items())]


def rows_below(root: Path, name: str) -> Path:
    """The file or folder that `name` means. Raises Malformed for what is not there or lies elsewhere.

    A link is followed first, so one that leads out of the folder is refused. What lies outside is never told apart from
    what does not exist.
    """
    if (found := _below(root, name)) is not None:
        return found
    if re.fullmatch(r"[\w.]+:\w+", name):
        raise Malformed(
            f"{name!r} would run code of the server's host, which no request may ask for; "
            "run `octet quantize` there, or keep the rows in a file"
        )
    raise Malformed(
        f"there are no rows {name!r}; name an .npz or .csv file or a folder of images by its path below the folder "
        "that the server was started with (--rows)"
    )


def _import(root: Path, name: str) -> Path:
    found = _below(root, name)
    if found is None or not found.is_file():
        raise Malformed(
            f"there is no file {name!r} to take in; name an .onnx, .xml or .tflite file by its path below the folder "
            "that the server was started with (--rows)"
        )
    return found


def _below(root: Path, name: str) -> Path | None:
    root = root.resolve()
    try:
        found = (root / name).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # not there, links in a circle, a null byte
        return None
    return found if name and found.is_relative_to(root) else None
