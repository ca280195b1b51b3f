"""What happened to windows that were not whole at once, and who explained a gap."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pull_window_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("window_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("told", sa.Integer(), nullable=True),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.Column("missing_count", sa.Integer(), nullable=False),
        sa.Column("fetched", sa.Integer(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["window_id"], ["pull_window.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("pull_window_event_of_window", "pull_window_event", ["window_id", "id"], unique=False)
    op.create_index(
        "pull_window_open",
        "pull_window",
        ["since"],
        unique=False,
        postgresql_where=sa.text("state IN ('gap', 'unexplained')"),
    )


def downgrade() -> None:
    op.drop_index("pull_window_open", "pull_window")
    op.drop_table("pull_window_event")
