"""Customers who order: baskets of the history, placed on the platforms one by one or over a stretch of time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Protocol

from integrations.sandbox import (
    douyin_orders,
    jd_orders,
    pinduoduo_orders,
    shelves,
    shopify_orders,
    taobao_orders,
    wechat_shop_orders,
)
from integrations.sandbox.baskets import FLAWS, Basket, Flaw, basket, spoiled
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.history import HistoricCustomer, HistoricOrder, customers, orders
from integrations.sandbox.jobs import Handler, Post
from integrations.sandbox.world import Job, World


class Shop(Protocol):
    """How a platform's module writes orders."""

    ORDER: str  # kind of its documents

    def written(self, basket: Basket, number: int, at: datetime, *, paid: bool) -> dict[str, Any]:
        """The platform's document of this basket."""
        ...

    def save(self, world: World, order: dict[str, Any], at: datetime) -> None:
        """Write the document as updated at `at`."""
        ...

    def pay(self, order: dict[str, Any], at: datetime) -> None:
        """Change the document: paid."""
        ...

    def cancel(self, order: dict[str, Any], at: datetime) -> None:
        """Change the document: cancelled, and refunded if it was paid."""
        ...


SHOPS: dict[str, Shop] = {
    "shopify": shopify_orders,
    "wechat_shop": wechat_shop_orders,
    "douyin": douyin_orders,
    "taobao": taobao_orders,
    "jd": jd_orders,
    "pinduoduo": pinduoduo_orders,
}
#: What the history calls our channels.
CHANNEL_OF_HISTORY = {"shopify": "shopify", "wechat": "wechat_shop", "douyin": "douyin"}

STATE = "replay.state"  # "" -> {"number": orders placed or planned, "next": place in the history}
YEAR = timedelta(days=365)
TOGETHER = 0.25  # real seconds: orders that close to each other are placed by one job
MOST_TOGETHER = 100
PAYS_AFTER = 60.0  # sandbox seconds until who ordered without paying pays


def place(
    world: World,
    channel: str,
    order: HistoricOrder,
    customer: HistoricCustomer,
    at: datetime,
    *,
    paid: bool = True,
    flaw: Flaw | None = None,
    number: int | None = None,
) -> str:
    """Write one historic order into the channel's own format, placed at `at`; returns its id there.

    `number` makes it the shop's n-th order, and placing that one again changes nothing; by default it is the next.
    Many orders are quickest inside one `world.transaction()`.
    """
    shop = SHOPS[channel]
    sound = basket(order, customer, at)
    wanted = spoiled(sound, flaw) if flaw else sound
    number = _next_numbers(world, 1) if number is None else number
    document = shop.written(wanted, number, at, paid=paid)
    order_id = id_of(document)
    if world.get(shop.ORDER, order_id) is None:
        shop.save(world, document, at)
        shelves.sold(world, channel, order_id, [(line.sku, line.quantity) for line in wanted.lines])
    return order_id


def pay(world: World, channel: str, order_id: str, at: datetime) -> None:
    """The customer pays an order that was placed without payment. Raises `KeyError` for an unknown order."""
    shop, document = _known(world, channel, order_id)
    shop.pay(document, at)
    shop.save(world, document, at)


def cancel(world: World, channel: str, order_id: str, at: datetime) -> None:
    """The order is cancelled on the platform, and refunded there if it was paid. Raises `KeyError`."""
    shop, document = _known(world, channel, order_id)
    shop.cancel(document, at)
    shop.save(world, document, at)
    shelves.given_back(world, channel, order_id)


def replay(
    world: World,
    count: int,
    seconds: float,
    *,
    channel: str | None = None,
    bad_every: int = 0,
    unpaid_every: int = 0,
) -> int:
    """Have the next `count` baskets of the history placed over `seconds` (sandbox seconds); returns how many jobs.

    Gaps between orders are those of the history, scaled. With `channel` they are all placed there. Every
    `bad_every`-th order has a flaw, each kind in turn; every `unpaid_every`-th is placed unpaid and paid a minute
    later. The history begins again when it is used up.
    """
    history = orders()
    with world.transaction():
        first = _next_numbers(world, count)
        told = list(_told(world, history, count))
        planned: list[tuple[float, dict[str, Any]]] = []
        for position, (due, (index, _)) in enumerate(zip(scaled([at for _, at in told], seconds), told, strict=True)):
            flawed = bad_every and (position + 1) % bad_every == 0
            entry = {
                "index": index,
                "number": first + position,
                "channel": channel or CHANNEL_OF_HISTORY[history[index].channel],
                "flaw": FLAWS[(position + 1) // bad_every % len(FLAWS)] if flawed else None,
                "paid": not (unpaid_every and (position + 1) % unpaid_every == 0),
            }
            planned.append((due, entry))
        batches = list(_batches(planned, TOGETHER * world.speed))
        for due, entries in batches:
            world.later(due, "replay.place", {"orders": entries})
        return len(batches)


def scaled(moments: list[datetime], seconds: float) -> list[float]:
    """How many seconds after the first each moment comes when the whole stretch takes `seconds`."""
    if not moments:
        return []
    span = max((moments[-1] - moments[0]).total_seconds(), 1.0)
    return [(at - moments[0]).total_seconds() / span * seconds for at in moments]


def jobs(credentials: Credentials, portal_url: str) -> dict[str, Handler]:
    """The jobs that `replay` leaves behind."""
    return {"replay.place": _place_due, "replay.pay": _pay_due}


async def _place_due(job: Job, world: World, post: Post) -> float | None:
    now = world.now().replace(microsecond=0)
    baskets, people = orders(), customers()
    with world.transaction():
        for entry in job.body["orders"]:
            order = baskets[entry["index"]]
            order_id = place(
                world,
                entry["channel"],
                order,
                people[order.customer_id],
                now,
                paid=entry["paid"],
                flaw=entry["flaw"],
                number=entry["number"],
            )
            if not entry["paid"]:
                world.later(PAYS_AFTER, "replay.pay", {"channel": entry["channel"], "order_id": order_id})
    return None


async def _pay_due(job: Job, world: World, post: Post) -> float | None:
    with world.transaction():
        pay(world, job.body["channel"], job.body["order_id"], world.now().replace(microsecond=0))
    return None


def _next_numbers(world: World, count: int) -> int:
    """Take `count` order numbers; returns the first."""
    state = world.get(STATE, "") or {"number": 0, "next": 0}
    world.put(STATE, "", {**state, "number": state["number"] + count})
    return int(state["number"])


def _told(world: World, history: list[HistoricOrder], count: int) -> Iterator[tuple[int, datetime]]:
    """Places in the history of the next baskets, and their moments on a calendar that goes on year after year."""
    state = world.get(STATE, "") or {"number": 0, "next": 0}
    start = int(state["next"])
    world.put(STATE, "", {**state, "next": start + count})
    for place_in_all in range(start, start + count):
        years, index = divmod(place_in_all, len(history))
        yield index, history[index].placed_at + years * YEAR


def _batches(
    planned: list[tuple[float, dict[str, Any]]], together: float
) -> Iterator[tuple[float, list[dict[str, Any]]]]:
    """Orders that are placed at once, due when the last of them is."""
    batch: list[dict[str, Any]] = []
    begun = last = 0.0
    for due, entry in planned:
        if batch and (due - begun > together or len(batch) == MOST_TOGETHER):
            yield last, batch
            batch = []
        if not batch:
            begun = due
        batch.append(entry)
        last = due
    if batch:
        yield last, batch


def _known(world: World, channel: str, order_id: str) -> tuple[Shop, dict[str, Any]]:
    shop = SHOPS[channel]
    document = world.get(shop.ORDER, order_id)
    if document is None:
        raise KeyError(f"{channel} has no order {order_id}")
    return shop, document


def id_of(document: dict[str, Any]) -> str:
    """An order's id; each platform has its own name for it."""
    return str(next(document[name] for name in ("order_id", "orderId", "order_sn", "tid", "id") if name in document))
