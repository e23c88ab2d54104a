"""Verified artifacts laid out as an engine wants them: the files of a variant side by side, under their own names."""

import errno
import shutil
from collections.abc import Container
from contextlib import suppress
from pathlib import Path

from model_store import durable
from model_store.blobs import Blobs, digest_of
from model_store.errors import StorageFailed
from model_store.layout import Layout
from model_store.records import FileRecord, VariantRecord


def materialise(layout: Layout, blobs: Blobs, variant: VariantRecord) -> Path:
    """The path of the file that an engine opens. Every byte was read and found right. Raises Corrupt.

    The files are hard links to the blobs (copies, where links are not to be had) and belong to the store.
    """
    for file in variant.files:
        blobs.check(file.digest)
    view = layout.views / variant.digest
    if not _is_whole(view, blobs, variant.files):
        _make(view, layout.staging, blobs, variant.files)
    return view / variant.files[0].name


def sweep(layout: Layout, living: Container[str]) -> None:
    """Remove the views of artifacts that are not in `living`."""
    for view in layout.views.iterdir():
        if view.name not in living:
            shutil.rmtree(view, ignore_errors=True)


def _is_whole(view: Path, blobs: Blobs, files: tuple[FileRecord, ...]) -> bool:
    try:
        return all(_holds(view / file.name, file, blobs) for file in files)
    except OSError:
        return False


def _holds(path: Path, file: FileRecord, blobs: Blobs) -> bool:
    """Whether `path` is the blob, which was found right, or a copy of it."""
    return path.samefile(blobs.path(file.digest)) or digest_of(path) == file.digest


def _make(view: Path, staging: Path, blobs: Blobs, files: tuple[FileRecord, ...]) -> None:
    with durable.staged_folder(staging) as folder:
        for file in files:
            target = folder / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(blobs.path(file.digest), target)
        shutil.rmtree(view, ignore_errors=True)
        try:
            folder.rename(view)
        except OSError as error:
            # Somebody else has made the same view in between.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise StorageFailed(f"cannot make {view}: {error.strerror}. Look at the disk and try again.") from error


def _link(blob: Path, target: Path) -> None:
    with suppress(OSError):
        target.hardlink_to(blob)
        return
    shutil.copyfile(blob, target)
