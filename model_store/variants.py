"""How a variant comes to a version that is there: staged beside other writers, then added under the lock."""

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from model_store import change, durable, journal, shelf
from model_store.blobs import Blobs
from model_store.catalogue import Catalogue
from model_store.errors import Conflict, NotFound
from model_store.incoming import Incoming, Progress, named, stage
from model_store.journal import Entry
from model_store.layout import Layout, variant_file
from model_store.manifest import FileManifest, VariantManifest, check_recipe
from model_store.names import check_files, check_variant
from model_store.records import NewVariant, VariantRecord, VersionRecord


@dataclass(frozen=True, slots=True)
class IncomingVariant:
    """A variant whose files are staged."""

    artifact: Incoming
    report: durable.Staged | None
    golden: durable.Staged | None

    @property
    def files(self) -> tuple[durable.Staged, ...]:
        """All of them."""
        return (*self.artifact.files, *(file for file in (self.report, self.golden) if file))


def pick_variant(record: VersionRecord, name: str) -> VariantRecord:
    """The version's variant of this name. Raises NotFound."""
    for variant in record.variants:
        if variant.name == name:
            return variant
    names = ", ".join(variant.name for variant in record.variants)
    raise NotFound(f"{record} has no variant {name!r}; its variants are: {names}.")


def refuse_bad_names(new: NewVariant) -> None:
    """Raises InvalidName or InvalidMetadata before anything is read or written."""
    check_variant(new.name)
    check_files([name for name, _ in named(new.source, new.external)])
    check_recipe(new.recipe)


def stage_variant(stack: ExitStack, new: NewVariant, staging: Path, progress: Progress | None) -> IncomingVariant:
    """Copy all files of a variant into `staging`; `stack` owns the copies. Raises StorageFailed."""
    artifact = stage(stack, named(new.source, new.external), staging, progress)
    report = golden = None
    if new.report is not None:
        report = stack.enter_context(durable.staged(staging, (new.report,), len(new.report)))
    if new.golden is not None:
        (golden,) = stage(stack, [("golden.npz", new.golden)], staging, None).files
    return IncomingVariant(artifact, report, golden)


def add_variant(
    layout: Layout, catalogue: Catalogue, blobs: Blobs, record: VersionRecord, new: NewVariant,
    incoming: IncomingVariant, now: datetime,
) -> bool:  # fmt: skip
    """Make an artifact a variant of `record` (as it is now). Tells whether it is new. Raises Conflict.

    The caller holds the lock.
    """
    data = _manifest(new, incoming).to_bytes()
    made = shelf.variant_record(VariantManifest.model_validate_json(data))
    known = next((variant for variant in record.variants if variant.name == new.name), None)
    if known is not None:
        _refuse_another(record, known, made)
    needed = {file.digest for file in (known or made).stored}
    for file in incoming.files:
        if file.digest in needed:
            blobs.put(file)  # also those of a known variant: whatever was lost or damaged is mended
    if known is None:
        _write(layout, catalogue, record, new.name, data, now)
    return known is None


def refuse_to_drop_the_published(record: VersionRecord, name: str) -> None:
    """Raises Conflict, and NotFound where there is no such variant."""
    if pick_variant(record, name).recipe is None:
        raise Conflict(f"{name} is what {record} was published with, and stays as long. Retire the version instead.")


def _refuse_another(record: VersionRecord, known: VariantRecord, made: VariantRecord) -> None:
    """What was measured differs from run to run, so a report decides nothing."""
    if known.recipe is None:
        raise Conflict(f"{known.name} is what {record} was published with. Give the variant another name.")
    different = [
        what
        for what, before, after in (
            ("bytes", known.digest, made.digest),
            ("engine", known.engine, made.engine),
            ("recipe", known.recipe, made.recipe),
            ("verdict", known.accurate, made.accurate),
            ("least speed-up", known.min_speedup, made.min_speedup),
        )
        if before != after
    ]
    if different:
        raise Conflict(
            f"{record} has a variant {known.name} already, with another {' and '.join(different)}. "
            "A variant never changes: give this one another name, or drop the old one first."
        )


def _write(
    layout: Layout, catalogue: Catalogue, record: VersionRecord, name: str, manifest: bytes, now: datetime
) -> None:
    """The manifest's rename decides whether the variant is there; what follows from it is noted before."""
    path = variant_file(name)
    entry = Entry(
        seq=journal.next_seq(layout.journal(record.name)),
        at=now,
        action="add_variant",
        version=record.version,
        variant=name,
        manifests={path: sha256(manifest).hexdigest()},
    )
    note = change.Change(model=record.name, version=record.version, entries=(entry,))
    change.begin(layout, note)
    durable.write(layout.version(record.name, record.version) / path, manifest, layout.staging)
    change.finish(layout, catalogue, note)


def _manifest(new: NewVariant, incoming: IncomingVariant) -> VariantManifest:
    return VariantManifest(
        name=new.name,
        engine=new.engine,
        digest=incoming.artifact.digest,
        files=tuple(FileManifest(name=f.name, digest=f.digest, bytes=f.bytes) for f in incoming.artifact.records),
        recipe=new.recipe,
        accurate=new.accurate,
        min_speedup=new.min_speedup,
        report=_file("report.json", incoming.report),
        golden=_file("golden.npz", incoming.golden),
    )


def _file(name: str, staged: durable.Staged | None) -> FileManifest | None:
    return None if staged is None else FileManifest(name=name, digest=staged.digest, bytes=staged.bytes)
