"""How a version comes in: staged beside other writers, then added under the lock."""

from datetime import datetime
from hashlib import sha256
from pathlib import Path

from model_store import change, durable, journal
from model_store.blobs import Blobs
from model_store.catalogue import Catalogue
from model_store.errors import Conflict
from model_store.incoming import Incoming, named
from model_store.journal import Entry
from model_store.layout import VERSION_FILE, Layout, variant_file
from model_store.manifest import FileManifest, VariantManifest, VersionManifest
from model_store.names import check_files, check_label, check_model, check_variant
from model_store.records import ModelRecord, NewVersion, VersionRecord
from model_store.versions import parse, predecessor


def refuse_bad_names(new: NewVersion) -> None:
    """Raises InvalidName or InvalidVersion before anything is read or written."""
    check_model(new.name)
    parse(new.version)
    check_variant(new.variant)
    check_files([name for name, _ in named(new.source, new.external)])
    for label in new.labels:
        check_label(label)


def add(
    layout: Layout, catalogue: Catalogue, blobs: Blobs, model: ModelRecord | None, new: NewVersion,
    incoming: Incoming, now: datetime,
) -> bool:  # fmt: skip
    """Make an artifact a version of `model` (as it is now, None for a new one), and set its labels.

    Tells whether the version is new. Raises Conflict. The caller holds the lock.
    """
    known = _known_version(model, new, incoming.digest)
    for file in incoming.files:
        blobs.put(file)  # also those of a known version: whatever was lost or damaged is mended
    manifests = {} if known else _manifests(model, new, incoming, now)
    entries = _entries(layout, model, new, manifests, now)
    if entries:
        note = change.Change(model=new.name, version=new.version, entries=tuple(entries))
        change.begin(layout, note)
        _write_manifests(layout.version(new.name, new.version), manifests, layout.staging)
        change.finish(layout, catalogue, note)
    return known is None


def _known_version(model: ModelRecord | None, new: NewVersion, digest: str) -> VersionRecord | None:
    """The version that is there already, if it may be published again."""
    if model is None:
        return None
    if model.name != new.name:
        raise Conflict(f"the store has {model.name!r}, and names are unique without regard to case. Use that spelling.")
    known = next((record for record in model.versions if record.version == new.version), None)
    if known is not None and known.retired:
        raise Conflict(f"{known} is retired, and a version is never used twice. Publish under a new version.")
    if known is not None and known.digest != digest:
        raise Conflict(
            f"{known} is there already with other bytes: it has digest {known.digest}, this file has {digest}. "
            "A version never changes: publish under a new one."
        )
    return known


def _entries(
    layout: Layout, model: ModelRecord | None, new: NewVersion, manifests: dict[str, bytes], now: datetime
) -> list[Entry]:
    seq = journal.next_seq(layout.journal(new.name))
    entries = []
    if manifests:
        digests = {name: sha256(data).hexdigest() for name, data in manifests.items()}
        entries.append(Entry(seq=seq, at=now, action="publish", version=new.version, manifests=digests))
    known = {} if model is None else model.labels
    for label in dict.fromkeys(new.labels):
        if known.get(label) != new.version:
            entries.append(Entry(seq=seq + len(entries), at=now, action="label", version=new.version, label=label))
    return entries


def _manifests(model: ModelRecord | None, new: NewVersion, incoming: Incoming, now: datetime) -> dict[str, bytes]:
    """File name below the version's folder -> content; the one that makes the version exist comes last."""
    living = [] if model is None else [record.version for record in model.versions if not record.retired]
    variant = VariantManifest(
        name=new.variant,
        engine=new.engine,
        digest=incoming.digest,
        files=tuple(FileManifest(name=f.name, digest=f.digest, bytes=f.bytes) for f in incoming.records),
    )
    version = VersionManifest(
        name=new.name,
        version=new.version,
        digest=incoming.digest,
        signature=new.signature,
        metadata=new.metadata,
        parent=predecessor(living, new.version),
        published_at=now,
    )
    return {variant_file(new.variant): variant.to_bytes(), VERSION_FILE: version.to_bytes()}


def _write_manifests(folder: Path, manifests: dict[str, bytes], staging: Path) -> None:
    for name, data in manifests.items():
        durable.make_folder((folder / name).parent)
        durable.write(folder / name, data, staging)
