"""Stock, payment and compensation: queues, checks, refunds, coupons, and what each SKU is promised for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "channel_share",
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=False),
        sa.CheckConstraint("percent BETWEEN 0 AND 100", name="share_percent_of_hundred"),
        sa.PrimaryKeyConstraint("channel", "sku"),
    )
    op.create_table(
        "expected_receipt",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("warehouse", sa.String(), nullable=False),
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("expected_on", sa.Date(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("arrived_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["sku"],
            ["product.sku"],
        ),
        sa.ForeignKeyConstraint(
            ["warehouse"],
            ["warehouse.code"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_expected_receipt_sku"), "expected_receipt", ["sku"], unique=False)
    op.create_table(
        "stock_rule",
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("buffer_percent", sa.Integer(), nullable=True),
        sa.Column("buffer_pieces", sa.Integer(), nullable=True),
        sa.Column("when_short", sa.String(), nullable=True),
        sa.Column("set_by", sa.String(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("when_short IN ('backorder', 'compensate')", name="when_short_known"),
        sa.CheckConstraint("buffer_percent BETWEEN 0 AND 100", name="buffer_percent_of_hundred"),
        sa.CheckConstraint("buffer_percent IS NULL OR buffer_pieces IS NULL", name="one_kind_of_buffer"),
        sa.CheckConstraint("buffer_pieces >= 0", name="buffer_not_negative"),
        sa.ForeignKeyConstraint(
            ["sku"],
            ["product.sku"],
        ),
        sa.PrimaryKeyConstraint("sku"),
    )
    op.create_table(
        "customer_link",
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["orders.id"],
        ),
        sa.PrimaryKeyConstraint("token"),
        sa.UniqueConstraint("order_id"),
    )
    op.create_table(
        "backorder",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("fulfilment_id", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("skus", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expected_on", sa.Date(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["fulfilment_id"],
            ["fulfilment.id"],
        ),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["orders.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "backorder_queue",
        "backorder",
        ["skus"],
        unique=False,
        postgresql_using="gin",
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(op.f("ix_backorder_fulfilment_id"), "backorder", ["fulfilment_id"], unique=False)
    op.create_index(op.f("ix_backorder_order_id"), "backorder", ["order_id"], unique=False)
    op.create_index(
        "one_backorder_waiting",
        "backorder",
        ["fulfilment_id"],
        unique=True,
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_table(
        "compensation",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("fulfilment_id", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("refund_fen", sa.BigInteger(), nullable=False),
        sa.Column("coupon_fen", sa.BigInteger(), nullable=False),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.String(), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("refund_fen >= 0 AND coupon_fen >= 0", name="compensation_not_negative"),
        sa.ForeignKeyConstraint(
            ["fulfilment_id"],
            ["fulfilment.id"],
        ),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["orders.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("fulfilment_id"),
    )
    op.create_index("compensation_by_time", "compensation", ["asked_at"], unique=False)
    op.create_index(op.f("ix_compensation_order_id"), "compensation", ["order_id"], unique=False)
    op.create_table(
        "refund",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("refund_no", sa.String(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("fulfilment_id", sa.BigInteger(), nullable=True),
        sa.Column("keeper", sa.String(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("refund_id", sa.String(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("owed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("look_again_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_by", sa.String(), nullable=False),
        sa.CheckConstraint("amount_fen > 0", name="refund_positive"),
        sa.ForeignKeyConstraint(
            ["fulfilment_id"],
            ["fulfilment.id"],
        ),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["orders.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("refund_no"),
    )
    op.create_index(op.f("ix_refund_fulfilment_id"), "refund", ["fulfilment_id"], unique=False)
    op.create_index(op.f("ix_refund_order_id"), "refund", ["order_id"], unique=False)
    op.create_index(
        "refund_open",
        "refund",
        ["look_again_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('due', 'processing', 'stuck')"),
    )
    op.create_table(
        "stock_check",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("fulfilment_id", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("warehouse", sa.String(), nullable=False),
        sa.Column("skus", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("announced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_by", sa.String(), nullable=False),
        sa.Column("missing", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("remark", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["fulfilment_id"],
            ["fulfilment.id"],
        ),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["orders.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_stock_check_fulfilment_id"), "stock_check", ["fulfilment_id"], unique=False)
    op.create_index(op.f("ix_stock_check_order_id"), "stock_check", ["order_id"], unique=False)
    op.create_index(
        "one_open_stock_check",
        "stock_check",
        ["fulfilment_id"],
        unique=True,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index(
        "stock_check_open",
        "stock_check",
        ["warehouse", "due_at"],
        unique=False,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "coupon",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("compensation_id", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("value_fen", sa.BigInteger(), nullable=False),
        sa.Column("least_order_fen", sa.BigInteger(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("platform_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("redeemed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("redeemed_for", sa.String(), nullable=False),
        sa.Column("redeemed_by", sa.String(), nullable=False),
        sa.CheckConstraint("(state = 'redeemed') = (redeemed_at IS NOT NULL)", name="redeemed_has_a_time"),
        sa.CheckConstraint("value_fen > 0", name="coupon_positive"),
        sa.ForeignKeyConstraint(
            ["compensation_id"],
            ["compensation.id"],
        ),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["orders.id"],
        ),
        sa.PrimaryKeyConstraint("code"),
        sa.UniqueConstraint("compensation_id"),
    )
    op.create_index(op.f("ix_coupon_order_id"), "coupon", ["order_id"], unique=False)
    op.add_column("orders", sa.Column("refunded_fen", sa.BigInteger(), server_default="0", nullable=False))
    op.alter_column("orders", "refunded_fen", server_default=None)
    op.add_column("orders", sa.Column("payment_keeper", sa.String(), server_default="", nullable=False))
    op.alter_column("orders", "payment_keeper", server_default=None)
    op.add_column("orders", sa.Column("payment_ref", sa.String(), server_default="", nullable=False))
    op.alter_column("orders", "payment_ref", server_default=None)
    op.add_column("reservation", sa.Column("purpose", sa.String(), server_default="goods", nullable=False))
    op.alter_column("reservation", "purpose", server_default=None)
    op.add_column("reservation", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_constraint(op.f("one_reservation_per_sku"), "reservation", type_="unique")
    op.create_unique_constraint("one_reservation_per_sku", "reservation", ["fulfilment_id", "sku", "purpose"])
    op.create_index(
        "reservation_expiring",
        "reservation",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("state = 'held' AND expires_at IS NOT NULL"),
    )
    op.create_index(
        "reservation_held",
        "reservation",
        ["warehouse", "sku"],
        unique=False,
        postgresql_where=sa.text("state = 'held'"),
    )
    op.create_index("stock_item_of_sku", "stock_item", ["sku"], unique=False)
    op.execute(
        "INSERT INTO stock_rule (sku, buffer_pieces, set_by, set_at)"
        " SELECT sku, max(buffer), 'migration', now() FROM stock_item WHERE buffer > 0 GROUP BY sku"
    )
    op.drop_column("stock_item", "buffer")
    op.create_index(
        "stock_movement_of_fulfilment",
        "stock_movement",
        ["fulfilment_id"],
        unique=False,
        postgresql_where=sa.text("fulfilment_id IS NOT NULL"),
    )
    op.add_column("warehouse", sa.Column("province", sa.String(), server_default="", nullable=False))
    op.alter_column("warehouse", "province", server_default=None)
    op.add_column("warehouse", sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "orders_by_payment", "orders", ["payment_ref"], unique=False, postgresql_where=sa.text("payment_ref <> ''")
    )
    op.create_check_constraint("no_more_refunded_than_paid", "orders", "0 <= refunded_fen AND refunded_fen <= paid_fen")
    # finished goods and ingredients of one line were promised together before: ingredients are those of recipes
    op.execute(
        "UPDATE reservation SET purpose = 'ingredient' FROM product p WHERE p.sku = reservation.sku AND p.unit = 'g'"
    )


def downgrade() -> None:
    raise RuntimeError("Refunds cannot be unmade: restore a backup instead.")
