"""The verdict on a variant's answers apart from its speed, which each machine measures."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """One column for both becomes one for each."""
    op.drop_column("variant", "passed")
    op.add_column("variant", sa.Column("accurate", sa.Boolean))
    op.add_column("variant", sa.Column("min_speedup", sa.Float, nullable=False, server_default="1"))
