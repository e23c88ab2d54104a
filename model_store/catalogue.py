"""The index over manifests and journals, in SQLite. It can always be made again from them."""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, Row, create_engine, delete, event, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from model_store import tables
from model_store.durable import sync_folder
from model_store.errors import Corrupt, FormatTooNew, StorageFailed, StoreBusy
from model_store.manifest import Metadata
from model_store.names import key_of
from model_store.records import FileRecord, ModelRecord, VariantRecord, VersionRecord, in_order
from model_store.versions import ascending

_LOCKED_SECONDS = 30.0
_FAULTS_OF_THE_DISK = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}


class Catalogue:
    """One catalogue file. Thread-safe; writers hold the store's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine = _engine(path)

    def is_current(self) -> bool:
        """Whether the file is there, is a database and has the tables of this Octet. Raises FormatTooNew."""
        if not self._path.exists():
            return False
        try:
            with self._reading() as connection:
                found = connection.scalar(text("SELECT version_num FROM alembic_version"))
        except Corrupt:
            return False
        if found is not None and found > tables.HEAD:
            raise FormatTooNew(f"{self._path} has schema {found}; this Octet knows {tables.HEAD}. Install a newer one.")
        return bool(found == tables.HEAD)

    def renew(self, models: Iterable[ModelRecord], staging: Path) -> None:
        """Hold these models and nothing else: in place where that is possible, else in a new file."""
        models = list(models)
        if self.is_current():
            with suppress(Corrupt):
                self._replace(models)
                return
        self._create(models, staging)

    def _create(self, models: Iterable[ModelRecord], staging: Path) -> None:
        """Make the file anew: filled under another name, so that nobody ever sees less."""
        draft = staging / "catalogue.draft"
        for leftover in (*_files(self._path), *_files(draft)):
            leftover.unlink(missing_ok=True)
        with closing(sqlite3.connect(draft)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        fresh = Catalogue(draft)
        fresh._migrate()
        fresh._replace(models)
        fresh.close()
        draft.rename(self._path)
        sync_folder(self._path.parent)

    def _migrate(self) -> None:
        """Bring the tables to the shape of this Octet. Only here is alembic needed, so only here it is imported."""
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
        with self._writing() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def _replace(self, models: Iterable[ModelRecord]) -> None:
        """Forget everything and hold these models."""
        with self._writing() as connection:
            for table in reversed(tables.metadata.sorted_tables):
                if table is not tables.state:
                    connection.execute(delete(table))
            for model in models:
                _insert(connection, model)
            _move_on(connection)

    def replace_model(self, model: ModelRecord) -> None:
        """Hold this instead of what is known of the model."""
        key = key_of(model.name)
        with self._writing() as connection:
            for table in (tables.label, tables.variant, tables.version):
                connection.execute(delete(table).where(table.c.model == key))
            connection.execute(delete(tables.model).where(tables.model.c.key == key))
            _insert(connection, model)
            _move_on(connection)

    def revision(self) -> int:
        """Another number after every change."""
        with self._reading() as connection:
            return int(connection.execute(select(tables.state.c.revision)).scalar_one())

    def names(self) -> list[str]:
        """Every model as it was published."""
        with self._reading() as connection:
            return list(connection.scalars(select(tables.model.c.name).order_by(tables.model.c.key)))

    def model(self, name: str) -> ModelRecord | None:
        """All of a model, under its name in any case, or None."""
        key = key_of(name)
        with self._reading() as connection:
            # One transaction, so that versions, variants and labels are of one moment.
            found = connection.scalar(select(tables.model.c.name).where(tables.model.c.key == key))
            versions = connection.execute(select(tables.version).where(tables.version.c.model == key)).all()
            variants = connection.execute(select(tables.variant).where(tables.variant.c.model == key)).all()
            labels = connection.execute(select(tables.label).where(tables.label.c.model == key)).all()
        if found is None:
            return None
        rows = {row.version: row for row in versions}
        records = tuple(_record(found, rows[version], variants) for version in ascending(rows))
        return ModelRecord(found, records, {row.label: row.version for row in labels})

    def close(self) -> None:
        """Nothing stays open between calls; this forgets the engine."""
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _telling(self._path), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with _telling(self._path), self._engine.begin() as connection:
            yield connection


def _engine(path: Path) -> Engine:
    """A connection for each use: none is shared by threads or kept over a fork, and a file made anew is noticed."""
    where = f"{path.absolute().as_uri()}?mode=rw"

    def connect() -> sqlite3.Connection:
        # isolation_level None: `_begin` says when a transaction starts, so that DDL is part of it as well.
        return sqlite3.connect(where, uri=True, timeout=_LOCKED_SECONDS, isolation_level=None)

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        reason = f"{path} cannot be used: {error.orig}."
        code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code == sqlite3.SQLITE_BUSY:
            raise StoreBusy(f"{reason} Another program has it open and does not let go; end that program.") from error
        if code in _FAULTS_OF_THE_DISK:
            raise StorageFailed(f"{reason} Look at the disk and try again.") from error
        raise Corrupt(f"{reason} Run `octet model rebuild` to make it again.") from error


def _files(path: Path) -> Sequence[Path]:
    return [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm", "-journal")]


def _move_on(connection: Connection) -> None:
    """A revision that no earlier catalogue of this store can have had, even one that was lost."""
    now = time.time_ns()
    last = connection.scalar(select(tables.state.c.revision))
    if last is None:
        connection.execute(insert(tables.state).values(revision=now))
    else:
        connection.execute(update(tables.state).values(revision=max(last + 1, now)))


def _insert(connection: Connection, model: ModelRecord) -> None:
    key = key_of(model.name)
    versions = [_version_row(key, record) for record in model.versions]
    variants = [_variant_row(key, record, variant) for record in model.versions for variant in record.variants]
    labels = [{"model": key, "label": label, "version": version} for label, version in model.labels.items()]
    connection.execute(insert(tables.model).values(key=key, name=model.name))
    for table, rows in ((tables.version, versions), (tables.variant, variants), (tables.label, labels)):
        if rows:
            connection.execute(insert(table), rows)


def _version_row(key: str, record: VersionRecord) -> dict[str, Any]:
    return {
        "model": key,
        "version": record.version,
        "digest": record.digest,
        "signature": record.signature,
        "metadata": record.metadata.model_dump(mode="json"),
        "parent": record.parent,
        "published_at": record.published_at.isoformat(),
        "retired": record.retired,
    }


def _variant_row(key: str, record: VersionRecord, variant: VariantRecord) -> dict[str, Any]:
    return {
        "model": key,
        "version": record.version,
        "name": variant.name,
        "engine": variant.engine,
        "digest": variant.digest,
        "files": [asdict(file) for file in variant.files],
        "recipe": variant.recipe,
        "accurate": variant.accurate,
        "min_speedup": variant.min_speedup,
        "report": None if variant.report is None else asdict(variant.report),
        "golden": None if variant.golden is None else asdict(variant.golden),
    }


def _record(name: str, row: Row[Any], variants: Sequence[Row[Any]]) -> VersionRecord:
    return VersionRecord(
        name=name,
        version=row.version,
        digest=row.digest,
        signature=row.signature,
        metadata=Metadata.model_validate(row.metadata),
        parent=row.parent,
        published_at=datetime.fromisoformat(row.published_at),
        retired=row.retired,
        variants=in_order(_variant(one) for one in variants if one.version == row.version),
    )


def _variant(row: Row[Any]) -> VariantRecord:
    return VariantRecord(
        name=row.name,
        engine=row.engine,
        digest=row.digest,
        files=tuple(FileRecord(**file) for file in row.files),
        recipe=row.recipe,
        accurate=row.accurate,
        min_speedup=row.min_speedup,
        report=None if row.report is None else FileRecord(**row.report),
        golden=None if row.golden is None else FileRecord(**row.golden),
    )
