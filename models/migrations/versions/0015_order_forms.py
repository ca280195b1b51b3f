"""The customer may be asked to complete the order form more than once: a message for each round."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("notification", sa.Column("round", sa.Integer(), server_default="0", nullable=False))
    op.drop_constraint("one_notification_per_node", "notification", type_="unique")
    op.create_unique_constraint("one_notification_per_node", "notification", ["fulfilment_id", "node", "round"])


def downgrade() -> None:
    raise NotImplementedError("messages of several rounds cannot be told as one: restore a backup instead")
