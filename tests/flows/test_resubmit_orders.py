"""Submitting again what was set aside: once the product is there, or the order was mended on its channel."""

from __future__ import annotations

import sys

import pytest
from prefect.artifacts import Artifact
from sqlmodel import Session, col, select

from flows.resubmit_orders import resubmit_orders
from models.book import take_orders
from models.database import transact, utcnow
from models.product import Product, save_products
from models.quarantine import Quarantined, waiting_list
from models.resubmission import waiting_with
from tasks.intake import pull_channel
from tests.house import House
from tests.models.build import cans, incoming
from tests.orders import Kind, entered, place
from tests.prefect import RunningServer


async def test_once_the_product_is_there_every_order_that_lacked_it_enters(
    home: House, prefect_server: RunningServer
) -> None:
    # given orders with an unknown SKU, perhaps one of another test among them, and one without an address
    unknown = [*place(home, flaw="unknown_sku"), *place(home, channel="douyin", flaw="unknown_sku")]
    nowhere = place(home, flaw="missing_address")
    for channel in ("shopify", "douyin"):
        await pull_channel.fn(channel)
    lacking = len(transact(lambda session: waiting_with(session, ["unknown_sku"])))
    # when the product is made and the operator submits what had that fault
    transact(lambda session: save_products(session, [Product(sku="NO-SUCH-SKU", title="新品", price_fen=100)]))
    state = await resubmit_orders("小林", faults=["unknown_sku"], return_state=True)
    # then those are in the book, and the other one is where it was
    assert (state.name, state.is_completed()) == (f"入库 {lacking}", True)
    assert len(entered(unknown)) == 2
    assert set(nowhere) <= {row.channel_order_id for row in transact(waiting_list)}
    # and once more there is nothing to submit
    assert (await resubmit_orders("小林", faults=["unknown_sku"], return_state=True)).name == "没有要提交的"


async def test_what_was_mended_on_the_channel_is_fetched_from_there(home: House, prefect_server: RunningServer) -> None:
    # given an order that could not be translated, mended on its platform since
    (id,) = place(home, Kind.STOCKED, "douyin")
    sound = home.sandbox.world.get("douyin.order", id)
    assert sound is not None
    home.sandbox.world.put("douyin.order", id, {**sound, "pay_amount": "many"})
    await pull_channel.fn("douyin")
    number = transact(lambda session: _number(session, id))
    # when it is submitted while it is still broken, it says so
    state = await resubmit_orders("小林", numbers=[number], return_state=True)
    assert state.name == "入库 0,仍有 1 件不行"
    assert "pay_amount" in str(state.message)
    # and when it is mended there
    home.sandbox.world.put("douyin.order", id, sound)
    state = await resubmit_orders("小林", numbers=[number], return_state=True)
    assert state.name == "入库 1"
    assert len(entered([id])) == 1


async def test_one_that_cannot_be_submitted_is_told_and_the_others_enter_set_by_set(
    home: House, prefect_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given three orders that lacked a product, what was kept of the second spoiled, and two submitted in one step
    orders = [incoming(f"set-{number}", cans(sku="SET-BY-SET")) for number in range(3)]
    ids = [order.channel_order_id for order in orders]
    transact(lambda session: take_orders(session, orders, utcnow()))
    transact(lambda session: _spoil(session, ids[1]))
    transact(lambda session: save_products(session, [Product(sku="SET-BY-SET", title="新品", price_fen=100)]))
    monkeypatch.setattr(sys.modules[resubmit_orders.fn.__module__], "AT_ONCE", 2)
    # when they are submitted
    numbers = [transact(lambda session, id=id: _number(session, id)) for id in ids]  # type: ignore[misc]
    state = await resubmit_orders("小林", numbers=numbers, return_state=True)
    # then the run says which one is left, and its progress bar has come to the end
    assert state.name == "入库 2,仍有 1 件不行"
    assert f"{ids[1]}:没有提交成:PrivacyKeyMissing" in str(state.message)
    assert len(entered(ids)) == 2
    progress = await Artifact.aget("order-resubmission")
    assert progress is not None and progress.data == 100.0


async def test_nobody_submits_without_a_name(home: House, prefect_server: RunningServer) -> None:
    assert (await resubmit_orders("  ", return_state=True)).name == "缺姓名"


def _number(session: Session, order_id: str) -> int:
    return session.exec(select(Quarantined.id).where(col(Quarantined.channel_order_id) == order_id)).one() or 0


def _spoil(session: Session, order_id: str) -> None:
    row = session.get_one(Quarantined, _number(session, order_id))
    row.reading = b"spoiled" * 8
    session.add(row)
