"""The virtual pool: what channels may sell of what is there.

`sellable = on hand - reserved - buffer`, never below nothing. The buffer stands between two channels that sell the
last one before they hear of each other: 100 in the warehouse with a buffer of 10 % shows 90. Each channel is shown
its share of that. An order that comes past it may use the buffer, and says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, text
from sqlmodel import Field, Session, SQLModel, col, select

from models.product import Product
from models.recipe import Recipe, ingredients
from models.rules_in_force import recipes_now
from models.stock import StockItem
from models.table import moment
from models.table_check import Problem

#: The share of a channel that nobody has set one for, in percent.
WHOLE = 100


class StockRule(SQLModel, table=True):
    """What the seller wants for one SKU. The buffer is a percentage of what is on hand, or so many a warehouse."""

    __tablename__ = "stock_rule"
    __table_args__ = (
        CheckConstraint("buffer_percent IS NULL OR buffer_pieces IS NULL", name="one_kind_of_buffer"),
        CheckConstraint("buffer_percent BETWEEN 0 AND 100", name="buffer_percent_of_hundred"),
        CheckConstraint("buffer_pieces >= 0", name="buffer_not_negative"),
        CheckConstraint("when_short IN ('backorder', 'compensate')", name="when_short_known"),
    )

    sku: str = Field(primary_key=True, foreign_key="product.sku")
    buffer_percent: int | None = None
    buffer_pieces: int | None = None
    when_short: str | None = None
    set_by: str = ""
    set_at: datetime = moment()


class ChannelShare(SQLModel, table=True):
    """How much of what is sellable one channel is shown, in percent; SKU `*` stands for all that have no own row."""

    __tablename__ = "channel_share"
    __table_args__ = (CheckConstraint("percent BETWEEN 0 AND 100", name="share_percent_of_hundred"),)

    channel: str = Field(primary_key=True)
    sku: str = Field(primary_key=True, default="*")
    percent: int


def buffer_of(on_hand: int, percent: int, pieces: int | None = None) -> int:
    """How much is held back of `on_hand`: so many pieces if set, else a percentage, rounded up."""
    return pieces if pieces is not None else -(-on_hand * percent // 100)


def shown(free: int, buffer: int, share: int = WHOLE) -> int:
    """What a channel is shown of what is free: its share of what lies above the buffer, whole pieces."""
    return max(0, free - buffer) * share // 100


_BUFFER = "COALESCE(r.buffer_pieces, ceil(i.on_hand * COALESCE(r.buffer_percent, :default) / 100.0))"
_SELLABLE = f"""
SELECT i.sku, sum(GREATEST(0, i.on_hand - i.reserved - {_BUFFER}))::bigint AS sellable
FROM stock_item i LEFT JOIN stock_rule r USING (sku) {{where}} GROUP BY i.sku
"""
_IN_BUFFER = text(f"""
SELECT i.sku FROM stock_item i LEFT JOIN stock_rule r USING (sku)
WHERE i.warehouse = :warehouse AND i.sku = ANY(:skus) AND i.on_hand - i.reserved < {_BUFFER} ORDER BY i.sku
""")


def sellable(session: Session, default_percent: int, skus: Sequence[str] | None = None) -> dict[str, int]:
    """By SKU: what may be sold over all warehouses, in the SKU's unit; SKUs that are stocked nowhere are left out."""
    where = "" if skus is None else "WHERE i.sku = ANY(:skus)"
    values = {"default": default_percent, **({} if skus is None else {"skus": list(skus)})}
    rows = session.connection().execute(text(_SELLABLE.format(where=where)), values)
    return {row.sku: row.sellable for row in rows}


def published(session: Session, channel: str, default_percent: int) -> dict[str, int]:
    """By SKU: how many pieces this channel is to show, of finished goods and of what is made to order.

    A made-to-order SKU shows as many as the scarcest ingredient of any usual recipe allows, whichever pet it is for. A
    recipe that no row chooses does not count, nor one with an ingredient that no warehouse ever had: it is new, and
    would take everything off sale.
    """
    there = sellable(session, default_percent)
    shares = {s.sku: s.percent for s in session.exec(select(ChannelShare).where(ChannelShare.channel == channel))}
    everything = shares.get("*", WHOLE)
    book = recipes_now(session)
    usual = [book[code] for code in sorted(book.chosen) if not book[code].special]
    usual = [recipe for recipe in usual if recipe.grams_per_kg.keys() <= there.keys()]
    result: dict[str, int] = {}
    for product in session.exec(select(Product).where(Product.unit == "piece")):
        if product.made_to_order:
            free = makeable(usual, product.weight_g, there)
        elif product.sku in there:
            free = there[product.sku]
        else:
            continue
        result[product.sku] = shown(free, 0, shares.get(product.sku, everything))
    return result


def makeable(usual: Sequence[Recipe], weight_g: int, there: dict[str, int]) -> int:
    """How many packs of `weight_g` grams could be made of what is there, by whichever recipe is the scarcest."""
    packs: dict[str, int] = defaultdict(int)
    for recipe in usual:
        needs = ingredients(recipe, weight_g, 1)
        packs[recipe.code] = min((there.get(sku, 0) // grams for sku, grams in needs.items() if grams), default=0)
    return min(packs.values(), default=0)


def never_stocked(session: Session, body: Mapping[str, Any]) -> list[Problem]:
    """Ingredients of these recipes that no warehouse ever had: worth knowing before orders wait for them."""
    used = {sku for recipe in body["recipes"] for sku in recipe["grams_per_kg"]}
    names = {str(one["sku"]): str(one["title"]) for one in body["ingredients"] if one["sku"] in used}
    had = set(session.exec(select(StockItem.sku).where(col(StockItem.sku).in_(sorted(names))).distinct()))
    why = "还没有入过库:用到它的配方,订单要等它到货;入库以前渠道上的可售数不按它算"
    return [Problem(f"食材 {sku} {title}", why) for sku, title in sorted(names.items()) if sku not in had]


def in_buffer(session: Session, warehouse: str, skus: Sequence[str], default_percent: int) -> list[str]:
    """Those of the SKUs of which this warehouse now has less free than its buffer."""
    values = {"warehouse": warehouse, "skus": list(skus), "default": default_percent}
    return [row.sku for row in session.connection().execute(_IN_BUFFER, values)]


def when_short(session: Session, skus: Sequence[str], default: str) -> str:
    """What becomes of an order that lacks these SKUs: `backorder`, or `compensate` if any of them says so."""
    rules = session.exec(select(StockRule).where(StockRule.sku.in_(list(skus))))  # type: ignore[attr-defined]
    said = {rule.sku: rule.when_short or default for rule in rules}
    return "compensate" if any(said.get(sku, default) == "compensate" for sku in skus) else "backorder"


def set_rule(session: Session, rule: StockRule) -> None:
    """Set what the seller wants for a SKU, in place of what was set before."""
    session.merge(rule)
    session.flush()


def set_share(session: Session, channel: str, percent: int, sku: str = "*") -> None:
    """Show this channel so many percent of what is sellable (of one SKU, or of all without an own share)."""
    session.merge(ChannelShare(channel=channel, sku=sku, percent=percent))
    session.flush()
