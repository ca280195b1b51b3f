"""The seller's own rules: versions, activations, which ones an order keeps, and what they decided."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

#: Before any order: what a new installation starts with has always held.
ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)
STARTER = Path(__file__).parents[2] / "starter"


def upgrade() -> None:
    _versions()
    op.create_table(
        "ruling",
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("versions", postgresql.JSONB(), nullable=False),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        sa.Column("pets", postgresql.JSONB(), nullable=False),
        sa.Column("route", postgresql.JSONB(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"]),
        sa.PrimaryKeyConstraint("order_id"),
    )
    op.create_index("ruling_by_time", "ruling", ["at"], unique=False)
    op.add_column("orders", sa.Column("rules", postgresql.JSONB(), server_default="{}", nullable=False))
    op.add_column("order_line", sa.Column("answers", postgresql.JSONB(), server_default="{}", nullable=False))
    op.drop_table("recipe")
    _start()


def _versions() -> None:
    op.create_table(
        "rule_version",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("body", postgresql.JSONB(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("based_on", sa.BigInteger(), nullable=True),
        sa.Column("problems", postgresql.JSONB(), nullable=False),
        sa.Column("tried", postgresql.JSONB(), nullable=False),
        sa.Column("discarded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("discarded_by", sa.String(), server_default="", nullable=False),
        sa.Column("discarded_why", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["based_on"], ["rule_version.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("kind", "number", name="one_rule_version_per_number"),
    )
    op.create_table(
        "rule_activation",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("from_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("untried_why", sa.Text(), server_default="", nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_by", sa.String(), server_default="", nullable=False),
        sa.Column("withdrawn_why", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["rule_version.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_rule_activation_version_id", "rule_activation", ["version_id"], unique=False)
    op.create_index(
        "rule_activation_of_kind",
        "rule_activation",
        ["kind", "from_at", "id"],
        unique=False,
        postgresql_where=sa.text("withdrawn_at IS NULL"),
    )


def _start() -> None:
    """Version 1 of each kind, in force."""
    version = sa.text(
        "INSERT INTO rule_version (kind, number, state, body, digest, note, made_by, made_at, problems, tried)"
        " VALUES (:kind, 1, 'kept', CAST(:body AS jsonb), :digest, '出厂规则', 'orderloom', :at, '[]', '{}')"
        " RETURNING id"
    )
    activation = sa.text(
        "INSERT INTO rule_activation (kind, version_id, from_at, by, at, note, withdrawn_by)"
        " VALUES (:kind, :version, :at, 'orderloom', :at, '出厂规则', '')"
    )
    connection = op.get_bind()
    for kind in ("form", "recipes", "matrix"):
        body = json.loads((STARTER / f"{kind}.json").read_text(encoding="utf-8"))
        canonical = json.dumps(body, sort_keys=True, ensure_ascii=False)
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        values = {"kind": kind, "body": canonical, "digest": digest, "at": ALWAYS}
        made = connection.execute(version, values).scalar_one()
        connection.execute(activation, {"kind": kind, "version": made, "at": ALWAYS})


def downgrade() -> None:
    raise NotImplementedError("the table of recipes was replaced by versions: restore a backup instead")
