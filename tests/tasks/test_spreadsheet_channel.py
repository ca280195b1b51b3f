"""The channel behind sheets: not pulled, not asked, its money told by our own record, shop by shop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from integrations.channels import Parcel
from integrations.errors import Refused
from integrations.payments import PaymentState, RefundWish, Trade
from models.database import utcnow
from tasks.intake import connected_channels
from tasks.outside import platforms
from tests.house import House
from tests.sheets import baskets, imported, sheet_file


async def test_it_is_there_and_nobody_pulls_it(home: House) -> None:
    channel = platforms().channel("spreadsheet")
    assert (channel.name, "spreadsheet" in connected_channels()) == ("spreadsheet", False)
    assert [page async for page in channel.orders_updated(utcnow(), utcnow())] == []
    for call in (channel.census(utcnow(), utcnow()), channel.order("1"), channel.receiver("1")):
        with pytest.raises(Refused):
            await call


async def test_a_parcel_is_listed_and_nobody_is_called(home: House) -> None:
    channel = platforms().channel("spreadsheet")
    parcel = Parcel("SF1", "sf_express", "https://t", (("L1", 2),))
    notice = channel.shipping_notice("A-1", {}, parcel)
    assert notice == channel.shipping_notice("A-1", {"content": "x"}, parcel)
    assert await channel.was_told_shipped(notice) is None
    assert await channel.tell_shipped(notice) == {"listed_for_export": "SF1"}


async def test_money_is_what_the_sheet_of_that_shop_said(home: House, tmp_path: Path) -> None:
    # given two shops that number an order alike, one of them not paid yet
    paid, other = baskets(2)
    other = replace(other, order_id=paid.order_id)
    await imported(sheet_file(tmp_path / "a.csv", [paid]), "money-a")
    await imported(sheet_file(tmp_path / "b.csv", [replace(other, status="待付款")]), "money-b")
    keeper = platforms().keeper("spreadsheet")
    # then each is answered for by itself
    record = await keeper.payment(Trade(paid.order_id, shop="money-a"))
    assert (record.state, record.paid_fen) == (PaymentState.PAID, paid.basket.total_fen)
    assert (await keeper.payment(Trade(paid.order_id, shop="money-b"))).state is PaymentState.PENDING
    with pytest.raises(Refused):
        await keeper.payment(Trade(paid.order_id, shop="money-c"))
    # and when the sheet says that the money is back, so does the keeper
    await imported(sheet_file(tmp_path / "c.csv", [replace(paid, status="退款成功")]), "money-a")
    assert (await keeper.payment(Trade(paid.order_id, shop="money-a"))).state is PaymentState.REFUNDED


async def test_refunds_are_done_by_people(home: House) -> None:
    keeper = platforms().keeper("spreadsheet")
    wish = RefundWish("R-1", Trade("A-1", shop="a"), 100, 100, "CNY", "缺货", (), {})
    with pytest.raises(Refused, match="请在原平台退款后在订单页了结"):
        keeper.refund_request(wish)
    with pytest.raises(Refused):
        await keeper.refund(b"")
    assert await keeper.find_refund(b"") is None
