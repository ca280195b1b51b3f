"""What customers and platforms change about an order after it entered the book."""

from __future__ import annotations

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what the models declare."""
