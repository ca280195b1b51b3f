"""A process that takes orders from files into the book for the benchmarks `intake` and `growth`, in one of three ways.

`product` is what a pull does with what it has read: the gate by great-expectations, its verdict kept, then
`take_orders`, batch by batch. `ungated` is the same without the gate. `one_at_a_time` is the rival: an ORM session
for each order, its contact, lines and fulfilment flushed as they come, and a commit. It keeps the same rules and
writes the same rows; it is spared what it need not do each time (products and warehouses are known to it), and what
it does not do: it follows no changes, and notices another who enters the same order only by failing.

Commands come as JSON lines on standard input, one stretch of work each; the answer says how long each part took.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, select

import tasks.intake
from models.book import take_orders
from models.database import engine, transact, utcnow
from models.entry import line_columns, name_of, order_columns
from models.fulfilment import Fulfilment, FulfilmentLine
from models.intake import Incoming, IncomingOrder
from models.order import PREFIXES, Order, OrderLine, keep_contact
from models.product import Product
from models.quality import judge
from models.timeline import EventKind, note
from models.validation import Source
from models.warehouse import home_warehouses
from tasks.gate import Gate
from tests.benchmarks.order_files import SHOP, read_file

_loop = asyncio.Runner()


def through_the_gate(batch: Sequence[Incoming]) -> None:
    """Judge a batch as a pull has it judged, and keep the verdict."""
    verdict = _loop.run(Gate(batch[0].channel, SHOP, Source.PULL).judge(batch))
    assert verdict is not None, "batches are not judged here"


def into_the_book(batch: Sequence[Incoming]) -> None:
    """Take a batch in, a page to a transaction."""
    for start in range(0, len(batch), tasks.intake.PAGE):
        page = batch[start : start + tasks.intake.PAGE]
        transact(lambda session, page=page: take_orders(session, page, utcnow()))  # type: ignore[misc]


def one_at_a_time(batch: Sequence[Incoming]) -> None:
    """Judge, write and commit each order by itself."""
    for order in batch:
        if isinstance(order, IncomingOrder) and not judge(order, _catalogue(), utcnow()):
            with Session(engine()) as session:
                _write_one(session, order, utcnow())
                session.commit()


def _write_one(session: Session, incoming: IncomingOrder, now: datetime) -> None:
    channel, shop, channel_order_id = name_of(incoming)
    known = select(Order.id).where(
        Order.channel == channel, Order.shop == shop, Order.channel_order_id == channel_order_id
    )
    if session.exec(known).first() is not None:
        return
    assert incoming.receiver is not None
    contact_id = keep_contact(session, incoming.receiver).id
    assert contact_id is not None
    number = session.connection().execute(text("SELECT nextval('order_number_seq')")).scalar_one()
    order = Order(
        **order_columns(incoming),
        order_no=f"{PREFIXES[channel]}-{number}",
        channel=channel,
        shop=shop,
        channel_order_id=channel_order_id,
        received_at=now,
        contact_id=contact_id,
    )
    session.add(order)
    session.flush()
    assert order.id is not None
    warehouse = _home(incoming.receiver.province)
    fulfilment = Fulfilment(order_id=order.id, number=1, warehouse=warehouse, stage_since=now, ready_at=now)
    lines = [
        OrderLine(order_id=order.id, line_no=line_no, **line)
        for line_no, line in enumerate(line_columns(incoming, _catalogue()), 1)
    ]
    session.add_all([fulfilment, *lines])
    session.flush()
    for line in lines:
        assert fulfilment.id is not None and line.id is not None
        session.add(FulfilmentLine(fulfilment_id=fulfilment.id, order_line_id=line.id, quantity=line.quantity))
    note(session, order.id, EventKind.RECEIVED, f"platform:{channel}", now, name=incoming.channel_order_name)


@lru_cache(maxsize=1)
def _catalogue() -> dict[str, Product]:
    return transact(lambda session: {product.sku: product for product in session.exec(select(Product))})


@lru_cache(maxsize=64)
def _home(province: str) -> str:
    return transact(lambda session: home_warehouses(session, [province]))[province]


#: The parts of each way, after a file was read and translated.
WAYS: dict[str, dict[str, Callable[[Sequence[Incoming]], None]]] = {
    "product": {"gate": through_the_gate, "take": into_the_book},
    "ungated": {"take": into_the_book},
    "one_at_a_time": {"take": one_at_a_time},
}


def stretch(way: str, files: Sequence[Path]) -> dict[str, Any]:
    """Take these files in; orders, and seconds by part. `judge` is how much of `take` the row rules are.

    It is measured by judging the same orders once more, beside the sum.
    """
    seconds = dict.fromkeys(("translate", *WAYS[way], "judge"), 0.0)
    orders = 0
    for file in files:
        began = time.perf_counter()
        batch = read_file(file)
        orders += len(batch)
        seconds["translate"] += time.perf_counter() - began
        for part, work in WAYS[way].items():
            began = time.perf_counter()
            work(batch)
            seconds[part] += time.perf_counter() - began
        catalogue, now = _catalogue(), utcnow()
        began = time.perf_counter()
        for order in batch:
            if isinstance(order, IncomingOrder):
                judge(order, catalogue, now)
        seconds["judge"] += time.perf_counter() - began
    return {"orders": orders, "seconds": seconds}


def main() -> None:
    """Say that we are ready, and work through the commands until there are no more."""
    answer({"ready": True})
    for line in sys.stdin:
        command = json.loads(line)
        answer(stretch(command["way"], [Path(file) for file in command["files"]]))


def answer(said: dict[str, Any]) -> None:
    """One JSON line."""
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
