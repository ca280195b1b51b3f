"""A book that is kept in shadow says so, and what its channels would have been shown."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shadow_book",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("id = 1", name="one_shadow_row"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "shadow_push",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("shop", sa.String(), nullable=False),
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("shown", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("channel", "shop", "sku", "seen", "shown", name="one_row_per_change"),
    )
    op.create_index("ix_shadow_push_at", "shadow_push", ["at"], unique=False)


def downgrade() -> None:
    op.drop_table("shadow_push")
    op.drop_table("shadow_book")
