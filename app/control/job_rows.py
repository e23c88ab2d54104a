"""Which rows a job may read: what lies below one folder, which the operator named."""

import re
from pathlib import Path

from app.errors import Malformed


def rows_below(root: Path, name: str) -> Path:
    """The file or folder that `name` means. Raises Malformed for what is not there or lies elsewhere.

    A link is followed first, so one that leads out of the folder is refused. What lies outside is never told apart from
    what does not exist.
    """
    root = root.resolve()
    try:
        found = (root / name).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # not there, links in a circle, a null byte
        found = None
    if name and found is not None and found.is_relative_to(root):
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
