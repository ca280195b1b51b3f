"""What customers and platforms change about an order after it entered the book."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "order_change",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("before", postgresql.JSONB(), nullable=False),
        sa.Column("after", postgresql.JSONB(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("grew", sa.Boolean(), nullable=False),
        sa.Column("cases_before", sa.BigInteger(), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("amount_fen >= 0", name="order_change_not_negative"),
        sa.CheckConstraint("(state = 'asked') = (applied_at IS NULL)", name="closed_change_has_a_time"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_order_change_order_id", "order_change", ["order_id"], unique=False)
    op.create_index(
        "order_change_asked", "order_change", ["order_id"], unique=False, postgresql_where=sa.text("state = 'asked'")
    )
    op.add_column("order_line", sa.Column("repeated_quantity", sa.Integer(), nullable=False, server_default="0"))
    op.create_check_constraint(
        "repeated_of_cancelled", "order_line", "repeated_quantity BETWEEN 0 AND cancelled_quantity"
    )


def downgrade() -> None:
    op.drop_constraint("repeated_of_cancelled", "order_line")
    op.drop_column("order_line", "repeated_quantity")
    op.drop_table("order_change")
