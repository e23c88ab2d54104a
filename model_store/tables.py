"""The catalogue's tables, for SQLite now and PostgreSQL later. `migrations/` brings a database to this shape."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, ForeignKeyConstraint, MetaData, String, Table

HEAD = "0003"
"""The migration that these tables stand for."""

metadata = MetaData()

model = Table(
    "model",
    metadata,
    Column("key", String(128), primary_key=True),  # the name without its case
    Column("name", String(128), nullable=False),
)

version = Table(
    "version",
    metadata,
    Column("model", String(128), primary_key=True),
    Column("version", String(128), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("signature", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("parent", String(128)),
    Column("published_at", String(40), nullable=False),  # ISO 8601 in UTC
    Column("retired", Boolean, nullable=False),
    ForeignKeyConstraint(["model"], ["model.key"]),
)

variant = Table(
    "variant",
    metadata,
    Column("model", String(128), primary_key=True),
    Column("version", String(128), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("engine", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("files", JSON, nullable=False),  # [{name, digest, bytes}], the one that an engine opens first
    Column("recipe", JSON),  # null for the variant that the version was published with
    Column("accurate", Boolean),  # null where no gate has judged
    Column("min_speedup", Float, nullable=False),
    Column("report", JSON),  # {name, digest, bytes} or null
    Column("golden", JSON),  # likewise
    ForeignKeyConstraint(["model", "version"], ["version.model", "version.version"]),
)

label = Table(
    "label",
    metadata,
    Column("model", String(128), primary_key=True),
    Column("label", String(64), primary_key=True),
    Column("version", String(128), nullable=False),
    ForeignKeyConstraint(["model", "version"], ["version.model", "version.version"]),
)

state = Table(
    "state",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),  # one row
)
