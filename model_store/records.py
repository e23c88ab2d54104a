"""What callers hand to the store and get from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import JsonValue

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
class NewVariant:
    """A variant to add to a version.

    `source` and `external` as in `NewVersion`, for any engine's files: in the store the main one is called `model` with
    its extension, and OpenVINO's `x.bin` beside `x.xml` is renamed along. `recipe` says how it was made; `report` and
    `golden` (an .npz) are kept as they are. `accurate` is the gate's verdict on its answers, None where none has
    judged; `min_speedup` is how many times as fast as the published one it must be where it is to serve.
    """

    name: str
    engine: str
    source: Path
    external: Mapping[str, Path]
    recipe: dict[str, JsonValue]
    report: bytes | None
    golden: Path | None
    accurate: bool | None
    min_speedup: float = 1.0


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of an artifact: its name beside the others, the SHA-256 that it is stored under, and its size."""

    name: str
    digest: str
    bytes: int


@dataclass(frozen=True, slots=True)
class VariantRecord:
    """One numeric realisation of a version. The first of `files` is the one that an engine opens.

    `accurate` and `min_speedup` as in `NewVariant`: what holds on every machine. The variant that the version was
    published with has no recipe, verdict, report or golden rows: the others are measured against it.
    """

    name: str
    engine: str
    digest: str
    files: tuple[FileRecord, ...]
    recipe: dict[str, Any] | None = None
    accurate: bool | None = None
    min_speedup: float = 1.0
    report: FileRecord | None = None
    golden: FileRecord | None = None

    @property
    def bytes(self) -> int:
        """The size of all files that an engine needs."""
        return sum(file.bytes for file in self.files)

    @property
    def stored(self) -> tuple[FileRecord, ...]:
        """Everything that is kept of it."""
        return (*self.files, *(file for file in (self.report, self.golden) if file))


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """A published version. `digest` is that of the source artifact; `published_at` is in UTC.

    `variants` begins with the one that was published; the others follow in the order of their names.
    """

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


@dataclass(frozen=True, slots=True)
class Added:
    """What came of adding a variant. `created` is False where the version had this very variant already."""

    record: VersionRecord
    created: bool


def in_order(variants: Iterable[VariantRecord]) -> tuple[VariantRecord, ...]:
    """The variant that was published, then the others in the order of their names."""
    return tuple(sorted(variants, key=lambda variant: (variant.recipe is not None, variant.name)))


def artifact_digest(files: tuple[FileRecord, ...]) -> str:
    """One SHA-256 for all files: that of a lone file itself, else that of `sha256sum` lines in the order of names.

    The first file counts as `-`, since nothing refers to it by name.
    """
    main, *external = files
    if not external:
        return main.digest
    lines = [f"{main.digest}  -\n", *(f"{f.digest}  {f.name}\n" for f in sorted(external, key=lambda f: f.name))]
    return sha256("".join(lines).encode()).hexdigest()
