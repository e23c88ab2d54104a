"""The front door of the model store."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from model_store import care, change, durable, journal, shelf, variants, views
from model_store.blobs import Blobs
from model_store.catalogue import Catalogue
from model_store.change import Change
from model_store.errors import Conflict, NotFound, StoreBusy
from model_store.incoming import Progress, counted, named, stage
from model_store.journal import Action, Entry
from model_store.layout import Layout
from model_store.lock import exclusive
from model_store.manifest import check_metadata
from model_store.names import check_cache_key, check_label, check_model
from model_store.publishing import add, refuse_bad_names
from model_store.records import Added, FileRecord, ModelRecord, NewVariant, NewVersion, Published, VersionRecord
from model_store.selection import no_model, pick
from model_store.versions import parse


class Store:
    """A store in a folder. Any number of processes and threads may use one at the same time.

    Models are found under their name in any case, and told under the one that they were published as.
    What changes something waits up to `wait_seconds` for other writers, and then raises StoreBusy.
    """

    def __init__(self, layout: Layout, wait_seconds: float) -> None:
        self._layout = layout
        self._wait_seconds = wait_seconds
        self._blobs = Blobs(layout.blobs)
        self._catalogue = Catalogue(layout.catalogue)

    @classmethod
    def open(cls, root: Path, *, create: bool = True, wait_seconds: float = 30.0) -> Self:
        """Open the store in `root`; make one there if `create`. What a killed writer left is finished or removed.

        Raises NotAStore, FormatTooNew, Corrupt, StoreBusy, StorageFailed.
        """
        layout = Layout(root)
        layout.prepare(create=create)
        store = cls(layout, wait_seconds)
        store._settle()
        return store

    def close(self) -> None:
        """Let go of what the store holds in memory."""
        self._catalogue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    # ---- reading

    def revision(self) -> int:
        """Another number after every change by any process. Cheap enough to ask for every second."""
        return self._catalogue.revision()

    def models(self) -> list[str]:
        """The names of all models, as they were published."""
        return self._catalogue.names()

    def model(self, name: str) -> ModelRecord:
        """All of a model at one moment. Raises NotFound."""
        check_model(name)
        return self._known(self._catalogue.model(name), name)

    def versions(self, name: str, *, retired: bool = False) -> list[VersionRecord]:
        """In ascending SemVer order; retired ones only when asked for. Raises NotFound."""
        return [record for record in self.model(name).versions if retired or not record.retired]

    def labels(self, name: str) -> dict[str, str]:
        """Label -> version. Raises NotFound."""
        return dict(self.model(name).labels)

    def resolve(self, name: str, version: str | None = None, label: str | None = None) -> VersionRecord:
        """The version that is meant: by label, by exact number, or the highest released one under a prefix or at all.

        Raises NotFound, UnknownLabel, InvalidName, InvalidVersion.
        """
        return pick(self.model(name), version, label)

    def materialise(self, record: VersionRecord, variant: str) -> Path:
        """The path of a file that an engine can open, with the files that it refers to beside it.

        All bytes were read and their digests verified. The path belongs to the store: open it, never write to it; it
        lasts until `gc` after the version was retired or the variant dropped. Raises NotFound, StorageFailed, and
        Corrupt naming the blob.
        """
        return views.materialise(self._layout, self._blobs, variants.pick_variant(record, variant))

    def report(self, record: VersionRecord, variant: str) -> bytes:
        """What was measured of a variant, its digest verified. Raises NotFound, also where there is none; Corrupt."""
        return self._kept(variants.pick_variant(record, variant).report, record, "report").read_bytes()

    def golden(self, record: VersionRecord, variant: str) -> Path:
        """The .npz with a variant's golden rows, its digest verified. It is the store's, and lasts as a view does.

        Raises NotFound, also where there is none, and Corrupt.
        """
        return self._kept(variants.pick_variant(record, variant).golden, record, "golden rows")

    # ---- writing

    def publish(self, new: NewVersion, progress: Progress | None = None) -> Published:
        """Take a version in. Copying runs beside other writers; only the last step waits for them.

        The same bytes under the same version once more: nothing changes but the labels asked for. Raises Conflict for
        other bytes, for a retired version and for a name that differs from a known one only in its case; InvalidName,
        InvalidVersion and InvalidMetadata before anything is read or written.
        """
        refuse_bad_names(new)
        check_metadata(new.metadata)
        with ExitStack() as stack:
            incoming = stage(stack, named(new.source, new.external), self._layout.staging, progress)
            with self._exclusive(f"publish {new.name} {new.version}"):
                model = shelf.read_model(self._layout, new.name)
                created = add(self._layout, self._catalogue, self._blobs, model, new, incoming, datetime.now(UTC))
                return Published(self.resolve(new.name, new.version), created)

    def add_variant(self, record: VersionRecord, new: NewVariant, progress: Progress | None = None) -> Added:
        """Give a version a further variant. Copying runs beside other writers, as in `publish`.

        The same variant once more (name, bytes, engine, recipe, verdict): nothing changes, whatever its report says.
        Raises Conflict for another one under the name and for the name that was published; NotFound for a version that
        is unknown or retired; InvalidName and InvalidMetadata before anything is read or written.
        """
        variants.refuse_bad_names(new)
        with ExitStack() as stack:
            incoming = variants.stage_variant(stack, new, self._layout.staging, progress)
            with self._changing(record.name, f"add variant {new.name} to {record}") as model:
                living = pick(model, record.version)
                created = variants.add_variant(
                    self._layout, self._catalogue, self._blobs, living, new, incoming, datetime.now(UTC)
                )
                return Added(self.resolve(record.name, record.version), created)

    def drop_variant(self, record: VersionRecord, variant: str) -> VersionRecord:
        """Take a variant out of service; `gc` may then remove its bytes, and its name is free for another one.

        Returns what is left. Raises NotFound, and Conflict for the variant that was published.
        """
        with self._changing(record.name, f"drop variant {variant} of {record}") as model:
            living = pick(model, record.version)
            variants.refuse_to_drop_the_published(living, variant)
            self._enter(living, "drop_variant", variant=variant)
            return self.resolve(record.name, record.version)

    def label(self, name: str, version: str, label: str) -> VersionRecord:
        """Make `label` point to the version (exact, or a prefix). Raises NotFound, InvalidName, InvalidVersion."""
        check_label(label)
        with self._changing(name, f"label {name} {version} {label}") as model:
            record = pick(model, version)
            if model.labels.get(label) != record.version:
                self._enter(record, "label", label)
        return record

    def unlabel(self, name: str, label: str) -> VersionRecord:
        """Take a label away, and tell from which version. Raises NotFound, UnknownLabel, InvalidName."""
        check_label(label)
        with self._changing(name, f"unlabel {name} {label}") as model:
            record = pick(model, label=label)
            self._enter(record, "unlabel", label)
        return record

    def retire(self, name: str, version: str) -> None:
        """Take a version out of service for good; `gc` may then remove its bytes.

        The version must be named exactly. Raises Conflict while a label points to it, NotFound, InvalidVersion.
        """
        parse(version)
        with self._changing(name, f"retire {name}@{version}") as model:
            if any(record.retired and record.version == version for record in model.versions):
                return
            record = pick(model, version)
            labels = ", ".join(sorted(label for label, target in model.labels.items() if target == version))
            if labels:
                raise Conflict(f"{record} carries the label {labels}. Label another version first, or unlabel it.")
            self._enter(record, "retire")

    # ---- upkeep

    def gc(self) -> care.Collected:
        """Remove the blobs that no living version refers to, and what writers that are gone have left.

        Raises Corrupt, and removes nothing, while a manifest or journal is damaged or lost.
        """
        with self._exclusive("gc"):
            return care.collect(self._layout, self._catalogue, self._blobs)

    def verify(self, progress: Progress | None = None) -> care.Verified:
        """Read everything and tell what is not as it should be. Writers wait only while the small files are read."""
        with self._exclusive("verify"):
            models, findings = care.check_papers(self._layout, self._catalogue)
            present = self._blobs.sizes()
        total = sum(present.values())
        digests = sorted(present.keys() | care.needed_blobs(models))
        damaged = care.check_blobs(self._blobs, digests, self._needed_blobs, counted(progress, total))
        return care.Verified(sum(len(m.versions) for m in models), len(present), total, (*findings, *damaged))

    def rebuild(self) -> None:
        """Make the catalogue anew from manifests and journals."""
        with exclusive(self._layout.lock, "rebuild", self._wait_seconds):
            self._renew()

    # ---- what can be made again

    @property
    def plans(self) -> Path:
        """The folder for what an engine compiles: cache entries, lost without harm. Whoever writes there makes it."""
        return self._layout.plans

    def recall(self, key: str) -> bytes | None:
        """What was remembered under `key`, or None. Raises InvalidName."""
        try:
            return (self._layout.measured / check_cache_key(key)).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def remember(self, key: str, value: bytes) -> None:
        """Keep a measurement under `key`, parts joined by '/': a cache entry, lost without harm. Raises InvalidName."""
        path = self._layout.measured / check_cache_key(key)
        durable.make_folder(path.parent)
        durable.write(path, value, self._layout.staging)

    # ---- how

    def _settle(self) -> None:
        """Finish or undo what a killed writer left. A writer that lives settles its own."""
        if not self._catalogue.is_current():
            with exclusive(self._layout.lock, "first use", self._wait_seconds):
                if not self._catalogue.is_current():
                    self._renew()
        if self._layout.unfinished.exists():
            with suppress(StoreBusy), exclusive(self._layout.lock, "settle", wait_seconds=0):
                self._finish_left()

    def _finish_left(self) -> None:
        left = change.unfinished(self._layout)
        if left:
            change.finish(self._layout, self._catalogue, left)

    def _renew(self) -> None:
        left = change.unfinished(self._layout)
        if left:
            change.carry_out(self._layout, left)
        self._catalogue.renew(care.read_models(self._layout), self._layout.staging)
        change.drop(self._layout)

    @contextmanager
    def _exclusive(self, purpose: str) -> Iterator[None]:
        """Be the only writer of a store in which nothing is unfinished."""
        with exclusive(self._layout.lock, purpose, self._wait_seconds):
            self._finish_left()
            yield

    @contextmanager
    def _changing(self, name: str, purpose: str) -> Iterator[ModelRecord]:
        """The model as it is, while nobody else can change it. Raises NotFound."""
        check_model(name)
        with self._exclusive(purpose):
            yield self._known(shelf.read_model(self._layout, name), name)

    def _enter(
        self, record: VersionRecord, action: Action, label: str | None = None, variant: str | None = None
    ) -> None:
        """One more line in the model's journal, and what follows from it."""
        entry = Entry(
            seq=journal.next_seq(self._layout.journal(record.name)),
            at=datetime.now(UTC),
            action=action,
            version=record.version,
            label=label,
            variant=variant,
        )
        note = Change(model=record.name, version=record.version, entries=(entry,))
        change.begin(self._layout, note)
        change.finish(self._layout, self._catalogue, note)

    def _kept(self, file: FileRecord | None, record: VersionRecord, what: str) -> Path:
        if file is None:
            raise NotFound(f"this variant of {record} has no {what}: it was stored without. Ask for another variant.")
        return self._blobs.check(file.digest)

    def _needed_blobs(self) -> dict[str, str]:
        return care.needed_blobs(self.model(name) for name in self.models())

    def _known(self, model: ModelRecord | None, name: str) -> ModelRecord:
        if model is None:
            raise no_model(name, self.models())
        return model
