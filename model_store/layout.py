"""Where everything lies in a store, and what makes a folder one."""

import json
from dataclasses import dataclass
from pathlib import Path

from model_store import durable
from model_store.errors import FormatTooNew, NotAStore
from model_store.names import key_of

FORMAT = 1

VERSION_FILE = "version.json"
VARIANTS = "variants"


def variant_file(name: str) -> str:
    """Where a variant's manifest lies below its version's folder."""
    return f"{VARIANTS}/{name}.json"


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one store. Names and versions must have been checked before they come here."""

    root: Path

    @property
    def format_file(self) -> Path:
        return self.root / "format.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def unfinished(self) -> Path:
        return self.root / "unfinished.json"

    @property
    def staging(self) -> Path:
        return self.root / "tmp"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs" / "sha256"

    @property
    def manifests(self) -> Path:
        return self.root / "manifests"

    @property
    def journals(self) -> Path:
        return self.root / "journal"

    @property
    def catalogue(self) -> Path:
        return self.root / "catalogue.sqlite"

    @property
    def views(self) -> Path:
        return self.root / "cache" / "views"

    @property
    def measured(self) -> Path:
        return self.root / "cache" / "measured"

    @property
    def plans(self) -> Path:
        return self.root / "cache" / "plans"

    def versions(self, name: str) -> Path:
        """The folder of a model's versions."""
        return self.manifests / key_of(name)

    def version(self, name: str, version: str) -> Path:
        """The folder of one version."""
        return self.versions(name) / version

    def journal(self, name: str) -> Path:
        """A model's journal."""
        return self.journals / f"{key_of(name)}.jsonl"

    def prepare(self, *, create: bool) -> None:
        """Make sure that this is a store of a format that is understood; make one of an empty or missing folder.

        Raises NotAStore and FormatTooNew.
        """
        if not self.format_file.exists():
            self._claim(create)
        self._check_format()
        for folder in (self.staging, self.blobs, self.manifests, self.journals, self.views, self.measured):
            durable.make_folder(folder)

    def _claim(self, create: bool) -> None:
        if self.root.exists() and not self.root.is_dir():
            raise NotAStore(f"{self.root} is a file; a store is a folder. Name another one.")
        if not create:
            raise NotAStore(f"there is no store in {self.root}. Publish a model to make one, or name another folder.")
        # A creator that was killed may have left its staging folder and the lock; a disk of its own may hold the cache.
        present = {entry.name for entry in self.root.iterdir()} if self.root.exists() else set()
        others = sorted(present - {self.staging.name, self.lock.name, self.plans.parent.name})
        if others and not self.format_file.exists():
            raise NotAStore(f"{self.root} holds other things ({others[0]}) and no store. Name an empty or new folder.")
        durable.make_folder(self.staging)
        durable.write(self.format_file, b'{"octet_store": %d}\n' % FORMAT, self.staging)

    def _check_format(self) -> None:
        try:
            version = json.loads(self.format_file.read_bytes())["octet_store"]
        except (ValueError, KeyError, TypeError):
            version = None
        if not isinstance(version, int):
            raise NotAStore(f"{self.format_file} does not say which format the store has. Restore it from a backup.")
        if version > FORMAT:
            raise FormatTooNew(
                f"{self.root} has format {version}; this Octet knows up to {FORMAT}. Install a newer one."
            )
