"""Goods of the test's own, and customers who buy exactly these.

shelve_goods({"WH-EAST": {"TOY-9": 3}})
order = await bought(home, {"TOY-9": 2}, channel="douyin")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from prefect.states import State
from sqlmodel import Session

from flows.fulfil_order import fulfil_order
from integrations.sandbox import replay, shelves
from integrations.sandbox.baskets import Basket, BasketLine
from integrations.sandbox.world import World
from models.database import in_transaction, transact, utcnow
from models.fulfilment import Fulfilment, claim_order, fulfilments_of
from models.order import Order
from models.product import Product, save_products
from models.stock import receive, shelve
from models.warehouse import Warehouse
from tasks.intake import pull_channel
from tests.house import House
from tests.orders import entered, skip_to_gateway

#: A second warehouse, far from the sandbox's own.
SOUTH = "WH-SOUTH"
PRICE = 8_999  # fen

#: Pieces by SKU; as pairs where a SKU stands on several lines.
Goods = Mapping[str, int] | Sequence[tuple[str, int]]


def shelve_goods(goods: Mapping[str, Mapping[str, int]]) -> None:
    """Have these pieces (warehouse → SKU → pieces) in addition to what is there."""

    def work(session: Session) -> None:
        if SOUTH in goods and session.get(Warehouse, SOUTH) is None:
            session.add(Warehouse(code=SOUTH, name="华南仓(深圳)", region="华南", province="广东省"))
        skus = sorted({sku for there in goods.values() for sku in there})
        save_products(session, [Product(sku=sku, title=f"货品 {sku}", weight_g=500, price_fen=PRICE) for sku in skus])
        session.flush()
        for warehouse, there in goods.items():
            for sku, pieces in there.items():
                shelve(session, warehouse, sku)
                if pieces:
                    receive(session, warehouse, sku, pieces, "到货", "test", utcnow())

    transact(work)


def arrive(sku: str, pieces: int, warehouse: str = "WH-EAST") -> None:
    """Goods arrive; who waits for them is woken."""
    transact(lambda session: receive(session, warehouse, sku, pieces, "到货", "test", utcnow()))


def buy(
    home: House,
    goods: Goods,
    channel: str = "shopify",
    *,
    at: datetime | None = None,
    price: int = PRICE,
    discount: int = 0,
    gateway: str = "alipay",
    paid: bool = True,
) -> str:
    """A customer in Zhejiang buys these pieces by SKU, at `price` fen each less `discount` on each line; the id there.

    On Shopify `gateway` collects the money.
    """
    wanted = goods.items() if isinstance(goods, Mapping) else goods
    lines = tuple(BasketLine(sku, f"货品 {sku}", pieces, price, discount, {}) for sku, pieces in wanted)
    total = sum(line.paid_fen for line in lines)
    basket = Basket("H0009", "赵玉珍", "16000006978", "浙江省", "杭州市", "西湖区", "李路 184 号", True, lines, total)
    shop, now, world = replay.SHOPS[channel], (at or utcnow()).replace(microsecond=0), home.sandbox.world
    with world.transaction():
        if channel == "shopify":
            skip_to_gateway(world, gateway)
        document = shop.written(basket, _next_number(world), now, paid=paid)
        shop.save(world, document, now)
        order_id = str(document.get("order_id") or document["id"])
        shelves.sold(world, channel, order_id, [(line.sku, line.quantity) for line in lines])
    return order_id


async def bought(home: House, goods: Goods, channel: str = "shopify", **how: object) -> Order:
    """The order in the book that comes of buying these (see `buy`)."""
    order_id = buy(home, goods, channel, **how)  # type: ignore[arg-type]
    await pull_channel.fn(channel)
    (order,) = entered([order_id])
    return order


def parts_of(order: Order) -> list[Fulfilment]:
    """The order's fulfilments by number, as they are now."""
    return transact(lambda session: fulfilments_of(session, order.id or 0))


async def carry_parts(order: Order) -> list[State]:
    """Carry every unfinished part as far as it goes now, those that a split makes too; the states of their runs."""
    states: list[State] = []
    known = -1
    while known != len(parts_of(order)):
        known = len(parts_of(order))
        claims = await in_transaction(lambda session: claim_order(session, order.id or 0, "test", 120.0))
        states += [await fulfil_order(order.order_no, "lane", claim, return_state=True) for claim in claims]
    return states


def _next_number(world: World) -> int:
    state = world.get(replay.STATE, "") or {"number": 0, "next": 0}
    world.put(replay.STATE, "", {**state, "number": state["number"] + 1})
    return int(state["number"])
