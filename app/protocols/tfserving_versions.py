"""What a version is called in TensorFlow Serving's URLs, and which servable it means.

TensorFlow Serving's versions are integers. Here that is a MAJOR, which means its highest release; the rest of a SemVer
version may follow.
"""

from app.errors import Malformed
from app.serving.servable import Servable
from app.serving.table import ServedModel

VERSION = r"[0-9]+(?:\.[0-9]+(?:\.[0-9]+(?:-[0-9A-Za-z.-]+)?)?)?"
"""What may stand behind `/versions/`. A URL with anything else there is malformed to TensorFlow Serving."""

_MOST = 2**63 - 1  # its clients and it read an int64


def plain(version: str) -> str:
    """The version as it is written here: a number alone is an integer, so `01` is 1. Raises Malformed beyond int64."""
    if version.isdigit():
        version = version.lstrip("0") or "0"
    if int(version.partition(".")[0][:20]) > _MOST:
        raise Malformed(f"Failed to convert version: {version[:100]} is no number of 64 bits")
    return version


def select(model: ServedModel, version: str | None = None, label: str | None = None) -> Servable:
    """The servable that a URL names. Raises as `plain` and as `ServedModel.select`.

    Version `0` means the default one where there is no 0.x.y: ovmsclient always names a version, 0 unless it is told.
    """
    if version is not None:
        version = plain(version)
    if version == "0" and not any(known.version.startswith("0.") for known in model.statuses):
        version = None
    return model.select(version, label)
