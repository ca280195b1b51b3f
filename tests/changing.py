"""Orders that their channel changes after they came in: edited, paid back and moved in the shop, and fetched again.

order = await bought_to_order(home, 2)
await changed(home, order, lambda document: shop.edit_line(document, line_of(document, 0), 1))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import select

from integrations.sandbox import replay
from integrations.sandbox import shopify_orders as shop
from integrations.sandbox.baskets import Basket, BasketLine
from models.book import Taken, take_orders
from models.change import changes_of
from models.database import in_transaction, transact, utcnow
from models.order import Order
from models.product import Product
from tasks.intake import pull_channel
from tasks.outside import platforms
from tests.buying import PRICE
from tests.house import House
from tests.orders import entered, skip_to_gateway

Document = dict[str, Any]
Change = Callable[[Document], object]
#: Orders are placed so long ago, so that what is changed about them later has happened too.
EARLIER = timedelta(minutes=2)
#: A dog that gets a usual recipe.
PET = {"species": "dog", "weight_kg": "12", "staple_preference": "dry", "allergens": "无"}


async def bought_to_order(
    home: House,
    bags: int,
    goods: Mapping[str, int] | None = None,
    channel: str = "shopify",
    pet: Mapping[str, str] = PET,
) -> Order:
    """An order in the book of so many bags that are made to order for a pet, and these goods from the shelf."""
    sku = transact(lambda session: session.exec(select(Product.sku).where(Product.made_to_order)).first())
    assert sku is not None
    lines = [BasketLine(sku, "定制粮", bags, PRICE, 0, dict(pet))]
    lines += [BasketLine(shelf, f"货品 {shelf}", pieces, PRICE, 0, {}) for shelf, pieces in (goods or {}).items()]
    total = sum(line.paid_fen for line in lines)
    basket = Basket(
        "H0009", "赵玉珍", "16000006978", "浙江省", "杭州市", "西湖区", "李路 184 号", True, tuple(lines), total
    )
    world, shop, now = home.sandbox.world, replay.SHOPS[channel], (utcnow() - EARLIER).replace(microsecond=0)
    with world.transaction():
        if channel == "shopify":
            skip_to_gateway(world, "shopify_payments")
        state = world.get(replay.STATE, "") or {"number": 0, "next": 0}
        world.put(replay.STATE, "", {**state, "number": state["number"] + 1})
        document = shop.written(basket, int(state["number"]), now, paid=True)
        shop.save(world, document, now)
    await pull_channel.fn(channel)
    (order,) = entered([str(document.get("order_id") or document["id"])])
    return order


async def changed(home: House, order: Order, *changes: Change) -> None:
    """Somebody changes the order in the shop, all of it at one moment, and the shop's hint has it fetched again."""
    world = home.sandbox.world
    with world.transaction():
        document = world.get(shop.ORDER, order.channel_order_id)
        assert document is not None
        for change in changes:
            change(document)
        later = datetime.fromisoformat(document["updatedAt"]) + timedelta(seconds=1)
        shop.save(world, document, later)
    told = await platforms().channel(order.channel).order(order.channel_order_id)
    counts = await in_transaction(lambda session: take_orders(session, [told], utcnow()))
    assert counts == {Taken.CHANGED: 1}


def line_of(document: Document, place: int) -> str:
    """The id of the line at this place, from 0."""
    return str(document["lineItems"][place]["id"])


def takes_away(pieces: Mapping[int, int], paid_back: int = 0) -> Change:
    """Staff take so many pieces off the lines at these places, and pay something back."""

    def change(document: Document) -> None:
        for place, taken in pieces.items():
            left = document["lineItems"][place]["currentQuantity"] - taken
            shop.edit_line(document, line_of(document, place), left)
        if paid_back:
            shop.refund_part(document, paid_back, [])

    return change


def moves_to(street: str) -> Change:
    """The customer has another address."""
    return lambda document: shop.change_address(document, {"address1": street})


def states(order: Order) -> list[tuple[str, str]]:
    """Kind and state of each change of the order."""
    return transact(lambda session: [(c.kind, c.state) for c in changes_of(session, order.id or 0)])
