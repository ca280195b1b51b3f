"""The gate that every batch passes before it enters the book: judged by great-expectations, and kept as a row."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session

from models import correction, validation
from models.database import in_transaction, utcnow
from models.intake import Incoming, IncomingOrder
from models.product import Product, products
from models.quality import plain
from models.settings import settings
from models.validation import Outcome, Source, Verdict
from tasks.quality_gate import validate_batch


class SuiteBroken(Exception):
    """The rules themselves do not work: nothing enters until somebody has mended them."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"校验本身坏了，这一批没有入库：{why}。请把这句话交给技术支持；读到的位置没有前移，修好后会从原处再读。"
        )


@dataclass(frozen=True)
class Gate:
    """Judges the batches of one reading, and keeps what came of it."""

    channel: str
    shop: str
    source: Source
    window_id: int | None = None
    judges: bool = True

    async def judge(self, batch: Sequence[Incoming]) -> Verdict | None:
        """Judge a batch. Raises `SuiteBroken`; bad orders are set aside by the book itself, by the same rules.

        None where batches are not judged (`policy.judge_batches`, or not `judges`); the row rules hold either way.
        """
        if not (self.judges and settings().policy.judge_batches):
            return None
        orders, catalogue = await in_transaction(lambda session: _prepared(session, batch))
        now = utcnow()
        # it computes for as long as it takes, and imports great-expectations the first time
        verdict = await asyncio.to_thread(validate_batch, orders, catalogue, now)
        await in_transaction(
            lambda session: validation.record(
                session, verdict, self.channel, self.shop, self.source, now, window_id=self.window_id
            )
        )
        if verdict.outcome is Outcome.BROKEN:
            raise SuiteBroken(verdict.error)
        return verdict


def _prepared(session: Session, batch: Sequence[Incoming]) -> tuple[list[Incoming], dict[str, Product]]:
    """The batch as the book will see it, with what people have corrected, and the products that it names."""
    orders = correction.applied(session, batch)
    skus = {line.sku for order in orders if isinstance(order, IncomingOrder) for line in order.lines}
    return orders, products(session, [sku for sku in sorted(skus) if plain(sku)])
