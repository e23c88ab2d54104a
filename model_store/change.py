"""A change to one model: noted first, then carried out, then taken off the note; a killed writer's is finished later.

Whether a publish happened is decided by one rename, that of `version.json`, and whether a variant was added by that of
its manifest. What follows (journal, catalogue) is in the note, so whoever finds it can finish it, any number of times.
"""

import shutil
from contextlib import suppress

from pydantic import BaseModel, ConfigDict, ValidationError

from model_store import durable, journal, shelf
from model_store.catalogue import Catalogue
from model_store.errors import Corrupt
from model_store.journal import Entry
from model_store.layout import Layout, variant_file


class Change(BaseModel):
    """The note: what the journal will say of this version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    version: str
    entries: tuple[Entry, ...]


def begin(layout: Layout, change: Change) -> None:
    """Note the change. The caller holds the lock, and goes on to write manifests, if any, and then to `finish`."""
    durable.write(layout.unfinished, change.model_dump_json(exclude_none=True).encode(), layout.staging)


def finish(layout: Layout, catalogue: Catalogue, change: Change) -> None:
    """Carry the change into journal and catalogue, and drop the note. Harmless to do twice."""
    if carry_out(layout, change):
        model = shelf.read_model(layout, change.model)
        if model is not None:
            catalogue.replace_model(model)
    drop(layout)


def carry_out(layout: Layout, change: Change) -> bool:
    """Carry the change into the journal if it came to be; if not, remove what there is of it. Tells which."""
    folder = layout.version(change.model, change.version)
    if not shelf.is_whole(layout, change.model, change.version):
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # other versions live there, or it was never made
            layout.versions(change.model).rmdir()
        return False
    if not all((folder / name).exists() for entry in change.entries for name in entry.manifests or ()):
        return False  # a variant whose manifest was never written
    journal.append(layout.journal(change.model), change.entries)
    for entry in change.entries:
        if entry.action == "drop_variant" and entry.variant is not None:
            durable.remove(folder / variant_file(entry.variant))
    return True


def drop(layout: Layout) -> None:
    """Take the change off the note."""
    durable.remove(layout.unfinished)


def unfinished(layout: Layout) -> Change | None:
    """The change that a writer has begun; if one holds the lock oneself, that writer is gone. Raises Corrupt."""
    try:
        return Change.model_validate_json(layout.unfinished.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise Corrupt(f"{layout.unfinished} cannot be read. Remove it, then run `octet model rebuild`.") from error
