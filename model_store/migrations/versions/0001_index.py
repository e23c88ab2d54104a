"""The first catalogue: models, versions, variants, labels and the revision."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "model",
        sa.Column("key", sa.String(128), primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
    )
    op.create_table(
        "version",
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("version", sa.String(128), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("signature", sa.JSON, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("parent", sa.String(128)),
        sa.Column("published_at", sa.String(40), nullable=False),
        sa.Column("retired", sa.Boolean, nullable=False),
        sa.ForeignKeyConstraint(["model"], ["model.key"]),
    )
    op.create_table(
        "variant",
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("version", sa.String(128), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("engine", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("files", sa.JSON, nullable=False),
        sa.ForeignKeyConstraint(["model", "version"], ["version.model", "version.version"]),
    )
    op.create_table(
        "label",
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("label", sa.String(64), primary_key=True),
        sa.Column("version", sa.String(128), nullable=False),
        sa.ForeignKeyConstraint(["model", "version"], ["version.model", "version.version"]),
    )
    op.create_table("state", sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False))
