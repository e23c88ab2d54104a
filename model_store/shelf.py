"""Reads what is true of a model: its manifests and its journal. The catalogue only repeats it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from model_store import journal
from model_store.errors import Corrupt, InvalidVersion
from model_store.layout import VARIANTS, VERSION_FILE, Layout
from model_store.manifest import FileManifest, VariantManifest, VersionManifest
from model_store.names import key_of
from model_store.records import FileRecord, ModelRecord, VariantRecord, VersionRecord, in_order
from model_store.versions import ascending

_Parsed = TypeVar("_Parsed", VersionManifest, VariantManifest)


def keys(layout: Layout) -> list[str]:
    """What every model is filed under; a folder in which no version is whole is none."""
    return sorted(folder.name for folder in layout.manifests.iterdir() if any(folder.glob(f"*/{VERSION_FILE}")))


def read_model(layout: Layout, name: str) -> ModelRecord | None:
    """A model as manifests and journal tell it, or None where there is no such model. Raises Corrupt."""
    state = journal.fold(journal.read(layout.journal(name)))
    versions = [read_version(layout, name, version, state) for version in _version_names(layout, name)]
    if not versions:
        return None
    return ModelRecord(versions[0].name, tuple(versions), state.labels)


def read_version(layout: Layout, name: str, version: str, state: journal.State) -> VersionRecord:
    """One version, which must be there. Raises Corrupt."""
    folder = layout.version(name, version)
    manifest = _parse(folder / VERSION_FILE, VersionManifest)
    if key_of(manifest.name) != key_of(name) or manifest.version != version:
        raise Corrupt(
            f"{folder / VERSION_FILE} is that of {manifest.name}@{manifest.version}. Restore it from a backup."
        )
    return VersionRecord(
        name=manifest.name,
        version=version,
        digest=manifest.digest,
        signature=manifest.signature,
        metadata=manifest.metadata,
        parent=manifest.parent,
        published_at=manifest.published_at,
        retired=version in state.retired,
        variants=in_order(_read_variants(folder / VARIANTS)),
    )


def variant_record(manifest: VariantManifest) -> VariantRecord:
    """A variant as its manifest tells it."""
    return VariantRecord(
        name=manifest.name,
        engine=manifest.engine,
        digest=manifest.digest,
        files=tuple(map(_file_record, manifest.files)),
        recipe=manifest.recipe,
        accurate=manifest.accurate,
        min_speedup=manifest.min_speedup,
        report=_file_record(manifest.report) if manifest.report else None,
        golden=_file_record(manifest.golden) if manifest.golden else None,
    )


def is_whole(layout: Layout, name: str, version: str) -> bool:
    """Whether the version was published: its own manifest, which is written last, is there."""
    return (layout.version(name, version) / VERSION_FILE).exists()


def _version_names(layout: Layout, name: str) -> list[str]:
    folder = layout.versions(name)
    try:
        return ascending(path.parent.name for path in folder.glob(f"*/{VERSION_FILE}"))
    except InvalidVersion as error:
        raise Corrupt(f"{folder} holds a folder that is none of the store's: {error}") from error


def _read_variants(folder: Path) -> Iterator[VariantRecord]:
    for path in folder.glob("*.json"):
        yield variant_record(_parse(path, VariantManifest))


def _file_record(file: FileManifest) -> FileRecord:
    return FileRecord(file.name, file.digest, file.bytes)


def _parse(path: Path, kind: type[_Parsed]) -> _Parsed:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        raise Corrupt(f"{path} is not the manifest that it should be: {error}. Restore it from a backup.") from error
