"""Orders that travel in one parcel."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shared_parcel",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("founder", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("only_masked", sa.Boolean(), nullable=False),
        sa.Column("buyer", sa.String(), nullable=False),
        sa.Column("warehouse", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undone_by", sa.String(), nullable=False),
        sa.Column("undone_why", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('open', 'sealed', 'undoing', 'undone')", name="shared_parcel_state"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "shared_parcel_member",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("shared_parcel_id", sa.BigInteger(), nullable=False),
        sa.Column("fulfilment_id", sa.BigInteger(), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("leaving", sa.Text(), nullable=False),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("left_why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["fulfilment_id"], ["fulfilment.id"]),
        sa.ForeignKeyConstraint(["shared_parcel_id"], ["shared_parcel.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    for column in ("fulfilment_id", "shared_parcel_id"):
        op.create_index(f"ix_shared_parcel_member_{column}", "shared_parcel_member", [column], unique=False)
    op.create_index(
        "one_shared_parcel_at_a_time",
        "shared_parcel_member",
        ["fulfilment_id"],
        unique=True,
        postgresql_where=sa.text("left_at IS NULL"),
    )
    op.create_index("contact_fingerprint", "contact", ["fingerprint"], unique=False)
    op.add_column("parcel", sa.Column("shared_parcel_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key("parcel_shared_parcel_id_fkey", "parcel", "shared_parcel", ["shared_parcel_id"], ["id"])
    op.create_index("ix_parcel_shared_parcel_id", "parcel", ["shared_parcel_id"], unique=False)
    # one row per fulfilment: of a shared parcel several with its numbers, of any other one
    for number, name in (("shipment_no", "one_parcel_per_shipment"), ("waybill_no", "one_parcel_per_waybill")):
        op.drop_constraint(f"parcel_{number}_key", "parcel", type_="unique")
        op.create_index(name, "parcel", [number], unique=True, postgresql_where=sa.text("shared_parcel_id IS NULL"))
    op.create_index("parcel_waybill", "parcel", ["waybill_no"], unique=False)
    op.create_index(
        "effect_of_parcel",
        "effect",
        ["fulfilment_id"],
        unique=False,
        postgresql_where=sa.text("kind IN ('waybill', 'waybill_cancel', 'ship_notice')"),
    )
