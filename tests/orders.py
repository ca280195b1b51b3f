"""Orders for tests: baskets of the history, of the kind that a test needs, placed on the sandbox's platforms.

placed = place(home, Kind.MADE, "shopify", 3)   # ids on the platform, in the order they were placed
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import cache

from sqlmodel import Session, col, select

from integrations.sandbox import replay
from integrations.sandbox.baskets import Flaw, pet_answers
from integrations.sandbox.history import HistoricOrder, customers, orders
from integrations.sandbox.shopify_orders import GATEWAYS
from integrations.sandbox.world import World
from models.database import transact, utcnow
from models.fulfilment import Fulfilment, fulfilments_of
from models.order import Order
from models.order_form import OrderForm, starter_form
from models.recipe import NoRecipe, RecipeBook, choose, pet_of, starter_recipes
from tests.house import House

#: The sum above which the starter matrix asks a nutritionist.
REVIEW_OVER_FEN = 50_000
CHANNELS = ("shopify", "wechat_shop", "douyin")


class Kind(StrEnum):
    """What makes an order interesting."""

    STOCKED = "stocked"  # everything is on the shelf, nobody looks at it
    MADE = "made"  # a line is made to order from a usual recipe, nobody looks at it
    MADE_COSTLY = "made_costly"  # the same, above the sum from which a nutritionist decides
    COSTLY = "costly"  # all on the shelf, above the sum from which a nutritionist decides


def place(
    home: House,
    kind: Kind = Kind.STOCKED,
    channel: str = "shopify",
    count: int = 1,
    *,
    paid: bool = True,
    flaw: Flaw | None = None,
    gateway: str = "",
) -> list[str]:
    """Place the next `count` baskets of this kind; their ids on the platform.

    `gateway` (on Shopify): who collects the money of the first of them, "alipay", "wechat_pay" or "shopify_payments".
    """
    world, now = home.sandbox.world, utcnow()
    with world.transaction():
        if gateway:
            skip_to_gateway(world, gateway)
        return [
            replay.place(world, channel, order, customers()[order.customer_id], now, paid=paid, flaw=flaw)
            for order in (next(_next(kind)) for _ in range(count))
        ]


def of_history(kind: Kind) -> HistoricOrder:
    """The first order of the history of this kind, whoever else buys it too."""
    return next(order for order in orders() if _kind(order) is kind)


def skip_to_gateway(world: World, gateway: str) -> None:
    """Leave out numbers of orders, so that the next one on Shopify is paid through this gateway."""
    state = world.get(replay.STATE, "") or {"number": 0, "next": 0}
    behind = (GATEWAYS.index(gateway) - state["number"]) % len(GATEWAYS)
    world.put(replay.STATE, "", {**state, "number": state["number"] + behind})


@cache
def _next(kind: Kind) -> Iterator[HistoricOrder]:
    """The baskets of one kind, each once, so that no two orders of a test run share a basket."""
    return (order for order in orders() if _kind(order) is kind)


def _kind(order: HistoricOrder) -> Kind | None:
    costly = order.total_fen > REVIEW_OVER_FEN
    if all(line.pet is None for line in order.lines):
        return Kind.COSTLY if costly else Kind.STOCKED
    if _needs_a_look(order):
        return None
    return Kind.MADE_COSTLY if costly else Kind.MADE


def _needs_a_look(order: HistoricOrder) -> bool:
    """Whether one of its pets gets a special recipe, or none."""
    pets = customers()[order.customer_id].pets
    now = utcnow()
    profiles = [pet_answers(pets[line.pet], now - order.placed_at) for line in order.lines if line.pet is not None]
    try:
        return any(choose(pet_of(_form().check(profile, now).values), _starter_book()).special for profile in profiles)
    except NoRecipe:
        return True


@cache
def _form() -> OrderForm:
    return OrderForm(starter_form())


@cache
def _starter_book() -> RecipeBook:
    return RecipeBook(starter_recipes())


def entered(channel_order_ids: list[str]) -> list[Order]:
    """The orders in the book under these ids of their platforms, in the order of the ids."""

    def work(session: Session) -> list[Order]:
        found = session.exec(select(Order).where(col(Order.channel_order_id).in_(channel_order_ids)))
        by_id = {order.channel_order_id: order for order in found}
        return [by_id[wanted] for wanted in channel_order_ids if wanted in by_id]

    return transact(work)


def fulfilment_of(order: Order) -> Fulfilment:
    """The order's only fulfilment, as it is now."""

    def work(session: Session) -> Fulfilment:
        assert order.id is not None
        (only,) = fulfilments_of(session, order.id)
        return only

    return transact(work)
