"""What callers hand to the store and get from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from model_store.manifest import Metadata


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to publish.

    `source` is the model file and stays the caller's; `external` maps the names by which it refers to further files
    (POSIX paths relative to its folder) to where they lie now. `signature` is any JSON object: it is kept, not read.
    """

    name: str
    version: str
    source: Path
    external: Mapping[str, Path]
    signature: dict[str, Any]
    metadata: Metadata
    variant: str = "fp32"
    engine: str = "onnxruntime"
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of an artifact: its name beside the others, the SHA-256 that it is stored under, and its size."""

    name: str
    digest: str
    bytes: int


@dataclass(frozen=True, slots=True)
class VariantRecord:
    """One numeric realisation of a version. The first of `files` is the one that an engine opens."""

    name: str
    engine: str
    digest: str
    files: tuple[FileRecord, ...]

    @property
    def bytes(self) -> int:
        """The size of all files together."""
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """A published version. `digest` is that of the source artifact; `published_at` is in UTC."""

    name: str
    version: str
    digest: str
    signature: dict[str, Any]
    metadata: Metadata
    parent: str | None
    published_at: datetime
    retired: bool
    variants: tuple[VariantRecord, ...]

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """All of a model: its versions in ascending order, retired ones included, and what each label points to."""

    name: str
    versions: tuple[VersionRecord, ...]
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Published:
    """What came of a publish. `created` is False where the store held these very bytes under this version already."""

    record: VersionRecord
    created: bool


def artifact_digest(files: tuple[FileRecord, ...]) -> str:
    """One SHA-256 for all files: that of a lone file itself, else that of `sha256sum` lines in the order of names.

    The first file counts as `-`, since nothing refers to it by name.
    """
    main, *external = files
    if not external:
        return main.digest
    lines = [f"{main.digest}  -\n", *(f"{f.digest}  {f.name}\n" for f in sorted(external, key=lambda f: f.name))]
    return sha256("".join(lines).encode()).hexdigest()
