"""Windows that prove themselves, hints that are kept, and what of an order is no longer wanted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hint",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("shop", sa.String(), nullable=False),
        sa.Column("delivery_id", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("channel_order_id", sa.String(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("channel", "shop", "delivery_id", name="one_hint_per_delivery"),
    )
    op.create_index("hint_received", "hint", ["received_at"], unique=False)
    op.create_index("hint_waiting", "hint", ["ready_at"], unique=False, postgresql_where=sa.text("state = 'kept'"))
    op.create_table(
        "pull_window",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("shop", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("told", sa.Integer(), nullable=True),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.Column("missing", postgresql.JSONB(), nullable=False),
        sa.Column("missing_count", sa.Integer(), nullable=False),
        sa.Column("fetched", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("look_again_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("looked_again_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("counts", postgresql.JSONB(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "pull_window_gaps", "pull_window", ["look_again_at"], unique=False, postgresql_where=sa.text("state = 'gap'")
    )
    op.create_index("pull_window_latest", "pull_window", ["channel", "shop", "until"], unique=False)
    op.add_column("order_line", sa.Column("cancelled_quantity", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("orders", sa.Column("platform_refunded_fen", sa.BigInteger(), nullable=False, server_default="0"))
    op.alter_column("order_line", "cancelled_quantity", server_default=None)
    op.alter_column("orders", "platform_refunded_fen", server_default=None)
    op.create_check_constraint(
        "cancelled_of_quantity", "order_line", "0 <= cancelled_quantity AND cancelled_quantity <= quantity"
    )
    op.create_table(
        "correction",
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("shop", sa.String(), nullable=False),
        sa.Column("channel_order_id", sa.String(), nullable=False),
        sa.Column("changes", sa.LargeBinary(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("channel", "shop", "channel_order_id"),
    )
    op.add_column("quarantine", sa.Column("reading", sa.LargeBinary(), nullable=False, server_default=""))
    op.alter_column("quarantine", "reading", server_default=None)


def downgrade() -> None:
    op.drop_column("quarantine", "reading")
    op.drop_table("correction")
    op.drop_constraint("cancelled_of_quantity", "order_line")
    op.drop_column("orders", "platform_refunded_fen")
    op.drop_column("order_line", "cancelled_quantity")
    op.drop_table("pull_window")
    op.drop_table("hint")
