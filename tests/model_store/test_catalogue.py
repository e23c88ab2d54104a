"""The index and its migrations."""

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

import model_store.catalogue
from model_store import tables
from model_store.errors import FormatTooNew
from model_store.store import Store
from tests.model_store.conftest import MakeVersion


def test_the_migrations_end_where_the_tables_say() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(model_store.catalogue.__file__).with_name("migrations")))
    assert ScriptDirectory.from_config(config).get_heads() == [tables.HEAD]


def test_the_migrations_make_the_very_tables(store: Store, root: Path) -> None:
    engine = create_engine(f"sqlite:///{root / 'catalogue.sqlite'}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


def test_the_catalogue_writes_ahead(store: Store, root: Path) -> None:
    connection = sqlite3.connect(root / "catalogue.sqlite")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_one_of_an_older_schema_is_made_again_on_opening(store: Store, root: Path, new_version: MakeVersion) -> None:
    store.publish(new_version())
    before = store.model("digits")
    connection = sqlite3.connect(root / "catalogue.sqlite")
    for column in ("recipe", "accurate", "min_speedup", "report", "golden"):
        connection.execute(f"ALTER TABLE variant DROP COLUMN {column}")
    connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.commit()
    connection.close()
    with Store.open(root) as again:
        assert again.model("digits") == before
        assert again.verify().findings == ()


def test_a_newer_schema_is_refused_and_left_alone(store: Store, root: Path) -> None:
    connection = sqlite3.connect(root / "catalogue.sqlite")
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(FormatTooNew, match="has schema 9999"):
        Store.open(root)
    with pytest.raises(FormatTooNew):
        store.rebuild()
