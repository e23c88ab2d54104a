"""What keeps a store sound: removing what nobody needs, and looking whether all is what it should be."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from model_store import durable, journal, shelf, views
from model_store.blobs import Blobs, Progress, digest_of
from model_store.catalogue import Catalogue
from model_store.errors import Corrupt
from model_store.layout import VERSION_FILE, Layout, variant_file
from model_store.records import ModelRecord


@dataclass(frozen=True, slots=True)
class Collected:
    """What `gc` removed."""

    blobs: int
    bytes: int
    leftovers: int
    """Temporary files of writers that are gone."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be, and what to do about it."""

    subject: str
    problem: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What `verify` has read, and found wrong."""

    versions: int
    blobs: int
    bytes: int
    findings: tuple[Finding, ...]


def collect(layout: Layout, catalogue: Catalogue, blobs: Blobs) -> Collected:
    """Remove blobs and views that no living version refers to, and leftovers. The caller holds the lock.

    Raises Corrupt while any manifest or journal is damaged or lost: its blobs may be all that is left of a version.
    """
    models, findings = check_papers(layout, catalogue)
    if findings:
        raise Corrupt(f"nothing was removed, for first this must be mended: {findings[0].problem}")
    living = needed_blobs(models)
    unneeded = {digest: size for digest, size in blobs.sizes().items() if digest not in living}
    for digest in unneeded:
        blobs.remove(digest)
    views.sweep(layout, {v.digest for m in models for r in m.versions if not r.retired for v in r.variants})
    return Collected(len(unneeded), sum(unneeded.values()), durable.sweep(layout.staging))


def read_models(layout: Layout) -> Iterator[ModelRecord]:
    """Every model as its manifests and its journal tell it. Raises Corrupt."""
    for key in shelf.keys(layout):
        model = shelf.read_model(layout, key)
        if model is not None:
            yield model


def needed_blobs(models: Iterable[ModelRecord]) -> dict[str, str]:
    """Digest -> a version that refers to it and is not retired, nor the variant dropped."""
    return {
        file.digest: str(record)
        for model in models
        for record in model.versions
        if not record.retired
        for variant in record.variants
        for file in variant.stored
    }


def check_papers(layout: Layout, catalogue: Catalogue) -> tuple[list[ModelRecord], list[Finding]]:
    """Look through manifests, journals and catalogue, not the blobs. The caller holds the lock."""
    models: list[ModelRecord] = []
    findings: list[Finding] = []
    known = {path.stem for path in layout.journals.glob("*.jsonl")}
    for key in sorted(known.union(shelf.keys(layout))):
        try:
            model = shelf.read_model(layout, key)
            findings += _against_journal(layout, key)
        except Corrupt as error:
            findings.append(Finding(key, str(error)))
            continue
        if model is not None:
            models.append(model)
            findings += _against_catalogue(catalogue, model)
    for name in set(catalogue.names()).difference(model.name for model in models):
        if not any(finding.subject.startswith(name.lower()) for finding in findings):
            findings.append(Finding(name, "the catalogue has it, the manifests do not. Run `octet model rebuild`."))
    return models, findings


def check_blobs(
    blobs: Blobs, digests: Iterable[str], needed: Callable[[], dict[str, str]], progress: Progress
) -> Iterator[Finding]:
    """Read and hash blobs. Takes as long as the disk needs, so the caller holds no lock.

    What `gc` removes meanwhile is no finding: `needed` tells what is needed at the moment.
    """
    for digest in digests:
        try:
            blobs.check(digest, progress)
        except Corrupt as error:
            if digest in needed() or blobs.path(digest).exists():
                yield Finding(needed().get(digest, "no version"), str(error))


def _against_journal(layout: Layout, key: str) -> Iterator[Finding]:
    folder = layout.versions(key)
    written = journal.fold(journal.read(layout.journal(key))).manifests
    for name, digest in written.items():
        path = folder / name
        if not path.exists():
            yield Finding(_version_of(key, name), f"{path} is missing. Restore it from a backup.")
        elif digest_of(path) != digest:
            yield Finding(_version_of(key, name), f"{path} is not what was published. Restore it from a backup.")
    for path in (*folder.glob(f"*/{VERSION_FILE}"), *folder.glob(f"*/{variant_file('*')}")):
        name = path.relative_to(folder).as_posix()
        if name not in written:
            yield Finding(
                _version_of(key, name),
                f"{layout.journal(key)} knows nothing of {path}. Restore the journal from a backup, "
                "or remove what is not the store's.",
            )


def _version_of(key: str, manifest: str) -> str:
    version, _, _ = manifest.partition("/")
    return f"{key}@{version}"


def _against_catalogue(catalogue: Catalogue, model: ModelRecord) -> Iterator[Finding]:
    if catalogue.model(model.name) != model:
        yield Finding(model.name, "the catalogue says otherwise than the manifests. Run `octet model rebuild`.")
