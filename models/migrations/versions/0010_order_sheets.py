"""Spreadsheets of orders, from upload to report."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "order_sheet",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("shop", sa.String(), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("stored", sa.String(), nullable=False),
        sa.Column("opening", postgresql.JSONB(), nullable=False),
        sa.Column("said", postgresql.JSONB(), nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.Column("header_key", sa.String(), nullable=False),
        sa.Column("proposal", postgresql.JSONB(), nullable=False),
        sa.Column("mapping", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_by", sa.String(), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("rows_read", sa.BigInteger(), nullable=False),
        sa.Column("orders", sa.BigInteger(), nullable=False),
        sa.Column("orders_done", sa.BigInteger(), nullable=False),
        sa.Column("counts", postgresql.JSONB(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("worker", sa.String(), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('uploaded', 'confirmed', 'running', 'done', 'failed', 'discarded')", name="order_sheet_state"
        ),
        sa.CheckConstraint("0 <= orders_done AND orders_done <= orders", name="sheet_orders_done"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("order_sheet_of_file", "order_sheet", ["digest", "shop"], unique=False)
    op.create_index(
        "order_sheet_to_do",
        "order_sheet",
        ["state"],
        unique=False,
        postgresql_where=sa.text("state IN ('confirmed', 'running')"),
    )
    op.create_table(
        "sheet_mapping",
        sa.Column("header_key", sa.String(), nullable=False),
        sa.Column("shop", sa.String(), nullable=False),
        sa.Column("mapping", postgresql.JSONB(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("header_key", "shop"),
    )
    op.create_table(
        "sheet_reject",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("sheet_id", sa.BigInteger(), nullable=False),
        sa.Column("row_no", sa.Integer(), nullable=False),
        sa.Column("channel_order_id", sa.String(), nullable=False),
        sa.Column("codes", postgresql.JSONB(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sheet_id"],
            ["order_sheet.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("sheet_reject_of_sheet", "sheet_reject", ["sheet_id", "id"], unique=False)


def downgrade() -> None:
    for table in ("sheet_reject", "sheet_mapping", "order_sheet"):
        op.drop_table(table)
