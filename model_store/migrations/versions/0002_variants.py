"""How a variant was made and what was found out about it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("variant", sa.Column("recipe", sa.JSON))
    op.add_column("variant", sa.Column("passed", sa.Boolean))
    op.add_column("variant", sa.Column("report", sa.JSON))
    op.add_column("variant", sa.Column("golden", sa.JSON))
