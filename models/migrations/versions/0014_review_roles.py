"""Reviews by role, with reminders and escalation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("review_case", sa.Column("sla_minutes", sa.Integer(), server_default="22", nullable=False))
    op.add_column("review_case", sa.Column("recipes", postgresql.JSONB(), server_default="{}", nullable=False))
    for moment in ("told_at", "reminded_at", "escalated_at"):
        op.add_column("review_case", sa.Column(moment, sa.DateTime(timezone=True), nullable=True))
    op.add_column("review_case", sa.Column("escalated_to", sa.String(), server_default="", nullable=False))
    op.drop_index("one_open_review", "review_case")
    op.create_index(
        "one_open_review",
        "review_case",
        ["fulfilment_id", "role"],
        unique=True,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index("review_case_decided", "review_case", ["decided_at"], unique=False)


def downgrade() -> None:
    raise NotImplementedError("reviews of several roles cannot be told as one: restore a backup instead")
