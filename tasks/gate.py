"""The gate that every batch passes before it enters the book."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.intake import Incoming


class SuiteBroken(Exception):
    """The rules themselves do not work: nothing enters until somebody has mended them."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"校验规则本身坏了，这一批没有入库:{why}。请把日志交给技术支持；读到的位置没有前移，修好后会从原处再读。"
        )


@dataclass(frozen=True)
class Gate:
    """Judges the batches of one reading, and keeps what came of it."""

    channel: str
    shop: str
    source: str  # "pull", "second_look", "backfill", "spreadsheet"
    window_id: int | None = None

    async def judge(self, batch: Sequence[Incoming]) -> None:
        """Judge a batch. Raises `SuiteBroken`; bad orders are set aside by the book itself, by the same rules."""
