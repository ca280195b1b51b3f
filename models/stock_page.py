"""Stock as people read it: the shelves, one SKU's ledger with its running sums, who holds it and who waits for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import text
from sqlmodel import Session, col, select

from models.backorder import ExpectedReceipt
from models.channel_stock import ChannelStock
from models.pool import published
from models.product import Product
from models.quality import plain
from models.stock import Movement

MOVEMENT_WORDS = {
    Movement.RECEIPT.value: "到货",
    Movement.ADJUSTMENT.value: "调整",
    Movement.COUNT.value: "盘点",
    Movement.TRANSFER_OUT.value: "调出",
    Movement.TRANSFER_IN.value: "调入",
    Movement.RESERVE.value: "预留",
    Movement.RELEASE.value: "释放",
    Movement.CONSUME.value: "出库",
    Movement.NOT_FOUND.value: "查无货",
    Movement.REPAIR.value: "修复",
}
#: What the list of shelves may be narrowed to.
ONLY = {"waiting": "有人等货", "none": "可售为零"}


@dataclass(frozen=True)
class Place:
    """One SKU in one warehouse, in the SKU's unit."""

    warehouse: str
    on_hand: int
    reserved: int
    buffer: int

    @property
    def sellable(self) -> int:
        """What channels may be shown of it."""
        return max(0, self.on_hand - self.reserved - self.buffer)

    @property
    def buffer_used(self) -> bool:
        """Whether orders have taken from the buffer."""
        return self.on_hand - self.reserved < self.buffer


@dataclass(frozen=True)
class Shelf:
    """One SKU over all warehouses. `waiting` fulfilments are in its queue."""

    sku: str
    title: str
    unit: str
    made_to_order: bool
    places: tuple[Place, ...]
    waiting: int

    @property
    def sellable(self) -> int:
        """What may be sold over all warehouses."""
        return sum(place.sellable for place in self.places)

    @property
    def on_hand(self) -> int:
        """What lies in all warehouses."""
        return sum(place.on_hand for place in self.places)


_BUFFER = "COALESCE(r.buffer_pieces, ceil(i.on_hand * COALESCE(r.buffer_percent, :default) / 100.0))::bigint"
_FOUND = """
SELECT p.sku, p.title, p.unit, p.made_to_order, count(*) OVER () AS found,
  (SELECT count(*) FROM backorder b WHERE b.state = 'waiting' AND b.skus @> ARRAY[p.sku::text]) AS waiting
FROM product p WHERE (:like = '' OR p.sku ILIKE :like OR p.title ILIKE :like) {only}
ORDER BY upper(p.sku) <> upper(:query), p.sku LIMIT :limit OFFSET :offset
"""
_NARROWED = {
    "": "",
    "waiting": "AND EXISTS (SELECT 1 FROM backorder b WHERE b.state = 'waiting' AND b.skus @> ARRAY[p.sku::text])",
    "none": "AND NOT p.made_to_order AND NOT EXISTS (SELECT 1 FROM stock_item i LEFT JOIN stock_rule r USING (sku)"
    f" WHERE i.sku = p.sku AND i.on_hand - i.reserved > {_BUFFER})",
}
_PLACES = text(f"""
SELECT i.sku, i.warehouse, i.on_hand, i.reserved, {_BUFFER} AS buffer
FROM stock_item i LEFT JOIN stock_rule r USING (sku) WHERE i.sku = ANY(:skus) ORDER BY i.sku, i.warehouse
""")


def shelves(
    session: Session, default_percent: int, query: str = "", only: str = "", limit: int = 50, offset: int = 0
) -> tuple[list[Shelf], int]:
    """SKUs whose code or title has `query` in it, an exact code first; and how many there are in all.

    `only` is a key of `ONLY`, or "" for all.
    """
    if not plain(query):
        return [], 0
    values: dict[str, object] = {"like": _like(query), "query": query, "limit": limit, "offset": offset}
    values |= {"default": default_percent} if only == "none" else {}
    rows = session.connection().execute(text(_FOUND.format(only=_NARROWED[only])), values).all()
    places: dict[str, list[Place]] = defaultdict(list)
    there = {"skus": [row.sku for row in rows], "default": default_percent}
    for row in session.connection().execute(_PLACES, there):
        places[row.sku].append(Place(row.warehouse, row.on_hand, row.reserved, row.buffer))
    found = [
        Shelf(row.sku, row.title, row.unit, row.made_to_order, tuple(places[row.sku]), row.waiting) for row in rows
    ]
    return found, rows[0].found if rows else 0


def shelf_of(session: Session, product: Product, default_percent: int) -> Shelf:
    """The shelf of one product."""
    rows = session.connection().execute(_PLACES, {"skus": [product.sku], "default": default_percent})
    places = tuple(Place(row.warehouse, row.on_hand, row.reserved, row.buffer) for row in rows)
    waiting = session.connection().execute(
        text("SELECT count(*) FROM backorder WHERE state = 'waiting' AND skus @> ARRAY[CAST(:sku AS text)]"),
        {"sku": product.sku},
    )
    return Shelf(product.sku, product.title, product.unit, product.made_to_order, places, waiting.scalar_one())


def _like(query: str) -> str:
    escaped = query.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%" if query else ""


@dataclass(frozen=True)
class Shown:
    """What a channel is to show of a SKU, and what it showed when it was last looked at (None: not known)."""

    channel: str
    wanted: int | None
    seen: int | None
    seen_at: datetime | None
    error: str


def shown_on(session: Session, sku: str, channels: Sequence[str], default_percent: int) -> list[Shown]:
    """By channel: as the shelf's own work has it, or, where it never worked there, as the pool would have it."""
    statement = select(ChannelStock).where(ChannelStock.sku == sku).order_by(ChannelStock.channel, ChannelStock.shop)
    known = [Shown(row.channel, row.wanted, row.seen, row.seen_at, row.error) for row in session.exec(statement)]
    without = [channel for channel in channels if channel not in {one.channel for one in known}]
    return known + [
        Shown(channel, published(session, channel, default_percent).get(sku), None, None, "") for channel in without
    ]


@dataclass(frozen=True)
class Moved:
    """One row of the ledger with what was there after it. `fulfilment_no` is for whom, if for somebody."""

    id: int
    at: datetime
    warehouse: str
    kind: str
    on_hand_change: int
    reserved_change: int
    on_hand: int
    reserved: int
    actor: str
    reason: str
    order_no: str | None
    fulfilment_no: str | None

    @property
    def word(self) -> str:
        """What happened, in Chinese."""
        return MOVEMENT_WORDS.get(self.kind, self.kind)


# the warehouses are named so that the index on (warehouse, sku, id) is used
_LEDGER = text("""
SELECT m.*, o.order_no, o.order_no || '-' || f.number AS fulfilment_no FROM (
  SELECT id, at, warehouse, kind, on_hand_change, reserved_change, fulfilment_id, actor, reason,
    sum(on_hand_change) OVER so_far AS on_hand, sum(reserved_change) OVER so_far AS reserved
  FROM stock_movement WHERE sku = :sku AND warehouse = ANY(ARRAY(SELECT code FROM warehouse))
  WINDOW so_far AS (PARTITION BY warehouse ORDER BY id)) m
LEFT JOIN fulfilment f ON f.id = m.fulfilment_id LEFT JOIN orders o ON o.id = f.order_id
WHERE (:warehouse = '' OR m.warehouse = :warehouse) AND m.id < :before ORDER BY m.id DESC LIMIT :limit
""")


def ledger(session: Session, sku: str, limit: int = 50, before: int = 2**63 - 1, warehouse: str = "") -> list[Moved]:
    """The movements of a SKU, newest first, with the sums of its ledger in that warehouse after each."""
    rows = session.connection().execute(_LEDGER, {"sku": sku, "warehouse": warehouse, "before": before, "limit": limit})
    return [
        Moved(
            row.id, row.at, row.warehouse, row.kind, row.on_hand_change, row.reserved_change, int(row.on_hand),
            int(row.reserved), row.actor, row.reason, row.order_no, row.fulfilment_no,
        )
        for row in rows
    ]  # fmt: skip


@dataclass(frozen=True)
class Holder:
    """A fulfilment that is promised some of a SKU."""

    order_no: str
    fulfilment_no: str
    stage: str
    warehouse: str
    quantity: int
    at: datetime
    expires_at: datetime | None


_HOLDERS = text("""
SELECT o.order_no, o.order_no || '-' || f.number AS fulfilment_no, f.stage, r.warehouse, r.quantity, r.at, r.expires_at
FROM reservation r JOIN fulfilment f ON f.id = r.fulfilment_id JOIN orders o ON o.id = f.order_id
WHERE r.state = 'held' AND r.sku = :sku AND r.warehouse = ANY(ARRAY(SELECT code FROM warehouse))
ORDER BY o.paid_at NULLS LAST, r.id LIMIT :limit
""")


def holders(session: Session, sku: str, limit: int = 200) -> list[Holder]:
    """Who is promised some of this SKU, first paid first."""
    return [Holder(**row._mapping) for row in session.connection().execute(_HOLDERS, {"sku": sku, "limit": limit})]


@dataclass(frozen=True)
class Waiter:
    """A fulfilment that waits for goods."""

    order_no: str
    fulfilment_no: str
    skus: tuple[str, ...]
    paid_at: datetime
    since: datetime
    expected_on: date


_WAITERS = text("""
SELECT o.order_no, o.order_no || '-' || f.number AS fulfilment_no, b.skus, b.paid_at, b.since, b.expected_on
FROM backorder b JOIN fulfilment f ON f.id = b.fulfilment_id JOIN orders o ON o.id = b.order_id
WHERE b.state = 'waiting' AND (:sku = '' OR b.skus @> ARRAY[CAST(:sku AS text)])
ORDER BY b.paid_at, b.id LIMIT :limit
""")


def waiters(session: Session, sku: str = "", limit: int = 200) -> list[Waiter]:
    """Who waits for goods (of one SKU, or any), first paid first: the order in which what arrives is given out."""
    rows = session.connection().execute(_WAITERS, {"sku": sku, "limit": limit})
    return [
        Waiter(row.order_no, row.fulfilment_no, tuple(row.skus), row.paid_at, row.since, row.expected_on)
        for row in rows
    ]


def expected(session: Session, sku: str) -> list[ExpectedReceipt]:
    """Receipts of a SKU that have not arrived, the earliest first."""
    statement = select(ExpectedReceipt).where(ExpectedReceipt.sku == sku, col(ExpectedReceipt.arrived_at).is_(None))
    return list(session.exec(statement.order_by(col(ExpectedReceipt.expected_on), col(ExpectedReceipt.id))))


def fulfilment_numbers(session: Session, ids: Sequence[int]) -> Mapping[int, str]:
    """By id: the numbers of fulfilments, e.g. `SH-1001-1`."""
    rows = session.connection().execute(
        text(
            "SELECT f.id, o.order_no || '-' || f.number AS number FROM fulfilment f JOIN orders o ON o.id = f.order_id"
            " WHERE f.id = ANY(:ids)"
        ),
        {"ids": list(ids)},
    )
    return {row.id: row.number for row in rows}
