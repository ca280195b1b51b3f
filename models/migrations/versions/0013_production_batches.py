"""Production batches: orders of one recipe and due time that the factory makes together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SEQUENCE production_batch_seq")
    op.create_table(
        "production_batch",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("batch_no", sa.String(), nullable=False),
        sa.Column("release_key", sa.String(), nullable=False),
        sa.Column("warehouse", sa.String(), nullable=False),
        sa.Column("recipe", sa.String(), nullable=False),
        sa.Column("recipe_version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seal_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("factory_no", sa.String(), nullable=False),
        sa.CheckConstraint("state IN ('open', 'sealed', 'released')", name="production_batch_state"),
        sa.CheckConstraint("(state = 'open') = (sealed_at IS NULL)", name="sealed_batch_has_a_time"),
        sa.CheckConstraint("(state = 'released') = (released_at IS NOT NULL)", name="released_batch_has_a_time"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("batch_no"),
    )
    op.create_index(
        "production_batch_open",
        "production_batch",
        ["recipe", "warehouse"],
        unique=False,
        postgresql_where=sa.text("state <> 'released'"),
    )
    op.create_index("production_batch_by_time", "production_batch", ["opened_at"], unique=False)
    op.add_column("work_order", sa.Column("batch_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key("work_order_batch_id_fkey", "work_order", "production_batch", ["batch_id"], ["id"])
    op.create_index("ix_work_order_batch_id", "work_order", ["batch_id"], unique=False)
    op.add_column("work_order", sa.Column("percent", sa.Integer(), server_default="0", nullable=False))
    op.add_column("work_order", sa.Column("reported_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(_BATCHES_OF_BEFORE)
    op.execute(
        "UPDATE work_order w SET batch_no = b.batch_no FROM production_batch b"
        " WHERE b.id = w.batch_id AND b.state = 'released'"
    )


# what was released before, or is being released: one batch for each recipe of a fulfilment, told under the old key
_BATCHES_OF_BEFORE = """
WITH told AS MATERIALIZED (
  SELECT w.fulfilment_id, w.recipe, w.batch_no AS factory_no, array_agg(w.id) AS works, max(e.key) AS release_key,
    min(e.intended_at) AS at
  FROM work_order w JOIN effect e ON e.fulfilment_id = w.fulfilment_id AND e.kind = 'production_release'
    AND (w.batch_no = e.response ->> 'batch_no' OR (w.batch_no = '' AND e.settled_at IS NULL))
  GROUP BY w.fulfilment_id, w.recipe, w.batch_no
), made AS (
  INSERT INTO production_batch (batch_no, release_key, warehouse, recipe, recipe_version, state, opened_at, seal_at,
    due_at, sealed_at, released_at, factory_no)
  SELECT 'PB' || to_char(t.at AT TIME ZONE 'Asia/Shanghai', 'YYMMDD') || '-' || t.works[1], t.release_key, f.warehouse,
    t.recipe, COALESCE((o.rules ->> 'recipes')::int, 1), CASE WHEN t.factory_no = '' THEN 'sealed' ELSE 'released' END,
    t.at, t.at, t.at + interval '4 hours', t.at, CASE WHEN t.factory_no <> '' THEN t.at END, t.factory_no
  FROM told t JOIN fulfilment f ON f.id = t.fulfilment_id JOIN orders o ON o.id = f.order_id
  RETURNING id, batch_no
)
UPDATE work_order w SET batch_id = made.id FROM made, told
WHERE w.id = ANY(told.works)
  AND made.batch_no = 'PB' || to_char(told.at AT TIME ZONE 'Asia/Shanghai', 'YYMMDD') || '-' || told.works[1]
"""


def downgrade() -> None:
    for column in ("batch_id", "percent", "reported_at"):
        op.drop_column("work_order", column)
    op.drop_table("production_batch")
    op.execute("DROP SEQUENCE production_batch_seq")
