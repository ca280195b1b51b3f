"""Sheets of orders from the confirmed file to the customer's door: runs, artifacts, the lane, the way back by hand."""

from __future__ import annotations

import asyncio
import csv
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from sqlmodel import Session, col, select

from deployments.catalogue import DEPLOYMENTS, Deployment
from deployments.importing import keep_importing
from flows.cancel_order import cancel_order
from flows.import_orders import import_orders
from integrations.sandbox.baskets import basket
from integrations.sandbox.history import customers
from integrations.sandbox.order_sheets import SheetOrder
from integrations.spreadsheets.arriving import remember, see
from integrations.spreadsheets.kept_sheets import Keeper
from models import order_sheet
from models.checks import check
from models.database import transact, utcnow
from models.fulfilment import Stage
from models.notification import Node, notification_of
from models.order import Order
from models.order_sheet import OrderSheet
from models.parcel import parcel_of
from models.refund import RefundStep, refunds_of, settle_by_hand
from models.settings import settings
from models.waybill_return import returned
from tasks.import_runs import start_due_imports
from tests.carrying import ended, runs, until
from tests.flows.running_lane import lane_here
from tests.house import House
from tests.orders import Kind, fulfilment_of, of_history
from tests.prefect import RunningServer, deploy_for_test, served
from tests.sheets import baskets, imported, outcomes, sheet_file

UPLOADED: Deployment = next(entry for entry in DEPLOYMENTS if entry.entrypoint.endswith(":import_orders"))


def fresh(kind: Kind, name: str) -> SheetOrder:
    """A basket of this kind, bought an hour ago."""
    at = (utcnow() - timedelta(hours=1)).replace(microsecond=0)
    found = of_history(kind)
    return SheetOrder(name, at, basket(found, customers()[found.customer_id], at))


def kept(path: Path, shop: str, *, dry_run: bool = False) -> int:
    """The number of a sheet that was uploaded and confirmed on the page."""
    with Keeper() as keeper:
        keeper.write(path.read_bytes())
        digest = keeper.finish()

    def work(session: Session) -> int:
        row = OrderSheet(
            shop=shop, file_name=path.name, digest=digest, size_bytes=keeper.size, stored=keeper.name, by="王敏",
            at=utcnow(),
        )  # fmt: skip
        remember(session, row, see(path, {}), {}, "王敏")
        session.flush()
        order_sheet.confirm(session, row.id or 0, row.mapping, dry_run, "王敏", utcnow())
        return row.id or 0

    return transact(work)


async def artifact(key: str) -> str:
    """The newest artifact with this key."""
    async with get_client() as client:
        found = await client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))
    assert found, key
    return str(max(found, key=lambda one: one.updated).data)  # type: ignore[arg-type, return-value]


async def test_a_confirmed_sheet_is_imported_and_told_of(
    home: House, prefect_server: RunningServer, tmp_path: Path
) -> None:
    bad = replace(baskets(1)[0], order_id="FLOW-BAD|<b>")
    bad = replace(bad, basket=replace(bad.basket, name=""))
    number = kept(sheet_file(tmp_path / "a.csv", [*baskets(5, prefix="FLOW-"), bad]), "flow")
    # tried first
    trial = await import_orders(number, dry_run=True, return_state=True)
    assert (trial.name, trial.is_completed()) == ("已试算", True)
    transact(lambda s: order_sheet.confirm(s, number, order_sheet.find(s, number).mapping, False, "王敏", utcnow()))
    # then for good
    state = await import_orders(number, return_state=True)
    assert (state.name, state.message) == ("已导入", "新单 5、搁置 1(共 6 单,12 行)"), state
    report = await artifact(f"order-import-{number}")
    assert "| 新单 | 5 |" in report and "地址不全" in report and "FLOW-BAD&#124;&lt;b>" in report
    assert bad.basket.phone not in report and bad.basket.street not in report
    assert float(await artifact(f"order-import-{number}-progress")) == 100.0
    # once more there is nothing to do
    again = await import_orders(number, return_state=True)
    assert (again.name, again.is_failed()) == ("没有要做的", True)
    assert (await import_orders(10**9, return_state=True)).is_failed()


async def test_what_cannot_be_used_fails_and_says_why(
    home: House, prefect_server: RunningServer, tmp_path: Path
) -> None:
    path = sheet_file(tmp_path / "a.csv", baskets(2, prefix="GONE-"))
    number = kept(path, "gone")
    for stored in (settings().state_dir / "sheets").glob("*.sealed"):
        stored.unlink()
    state = await import_orders(number, return_state=True)
    assert (state.name, state.is_failed()) == ("没有导完", True)
    assert "请重新上传" in str(state.message)


async def test_the_stack_sees_a_confirmed_sheet_and_runs_it_once(
    home: House, prefect_server: RunningServer, tmp_path: Path
) -> None:
    await deploy_for_test([UPLOADED])
    number = kept(sheet_file(tmp_path / "a.csv", baskets(3, prefix="STACK-")), "stack")
    stop = asyncio.Event()
    loop = asyncio.create_task(keep_importing(stop))
    try:
        async with served():
            await until(lambda: transact(lambda s: order_sheet.find(s, number)).is_over, "the sheet is imported", 60)
    finally:
        stop.set()
        await loop
    sheet = transact(lambda s: order_sheet.find(s, number))
    assert (outcomes(sheet), sheet.runs, sheet.stored) == ({"new": 3}, 1, "")
    assert await start_due_imports() == 0
    assert len(runs(prefect_server, name={"any_": [f"表格 {number}"]})) == 1


async def test_an_order_of_a_sheet_goes_all_the_way(home: House, prefect_server: RunningServer, tmp_path: Path) -> None:
    # given a file with an order that is to be made
    sold = [fresh(Kind.MADE, "LANE-MADE"), fresh(Kind.STOCKED, "LANE-STOCKED")]
    assert any(line.pet for line in sold[0].basket.lines)
    async with lane_here():
        # when it is imported while a lane is at work
        assert outcomes(await imported(sheet_file(tmp_path / "a.csv", sold), "lane")) == {"new": 2}
        made, stocked = entered("lane")
        await until(lambda: all(shipped(one) for one in (made, stocked)), "both are shipped and told of", 60)
    # then it was made, sent and told of once each, and nothing was asked of a platform
    assert home.effects("mes", "release").get(f"{made.order_no}-1-1") == 1
    for order in (made, stocked):
        assert home.effects("sf", "create_waybill").get(f"{order.order_no}-1") == 1
        assert home.effects("aliyun", "SendSms").get(f"{order.order_no}-1-shipped") == 1
        assert transact(lambda s, id=order.id: s.get_one(Order, id)).payment_verified_at is not None  # type: ignore[misc]
    # and the parcels are on the list for the platform
    since = utcnow() - timedelta(hours=1)
    listed = transact(lambda s: returned(s, "lane", since, utcnow()))
    assert {row.channel_order_id for row in listed} == {"LANE-MADE", "LANE-STOCKED"}
    assert all(row.waybill_no.startswith("SF") for row in listed)
    # and when the platform's next file says shipped, nothing is sent again
    again = [replace(one, status="已发货") for one in sold]
    await imported(sheet_file(tmp_path / "b.csv", again), "lane")
    assert [fulfilment_of(order).stage for order in (made, stocked)] == [Stage.SHIPPED.value] * 2
    assert home.effects("sf", "create_waybill").get(f"{made.order_no}-1") == 1
    assert [rule for rule in transact(lambda s: check(s, utcnow())) if rule.severity == "error"] == []


async def test_money_of_a_cancelled_order_is_paid_back_by_hand(
    home: House, prefect_server: RunningServer, tmp_path: Path
) -> None:
    await imported(sheet_file(tmp_path / "a.csv", [fresh(Kind.STOCKED, "REF-1")]), "refunds")
    (order,) = entered("refunds")
    await cancel_order(order.order_no, "客户不要了", "客服小张", return_state=True)
    await until(lambda: refund_state(order) == RefundStep.STUCK.value, "the refund waits for a person")
    (owed,) = transact(lambda s: refunds_of(s, order.id or 0))
    assert "请在原平台退款后在订单页了结" in owed.problem
    transact(lambda s: settle_by_hand(s, owed.refund_no, "王敏", utcnow()))
    await ended(order)
    assert fulfilment_of(order).stage == Stage.REFUNDED.value or fulfilment_of(order).stage == Stage.CANCELLED.value
    # and the file that says so changes nothing more
    cancelled = replace(fresh(Kind.STOCKED, "REF-1"), status="退款成功")
    before = fulfilment_of(order)
    with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [row | {"订单状态": cancelled.status} for row in csv.DictReader(file)]
    with (tmp_path / "b.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    await imported(tmp_path / "b.csv", "refunds")
    assert fulfilment_of(order).stage == before.stage


def entered(shop: str) -> list[Order]:
    """The orders of a shop, by their names there."""
    return transact(lambda s: list(s.exec(select(Order).where(Order.shop == shop).order_by(col(Order.id)))))


def shipped(order: Order) -> bool:
    """Whether its parcel is listed, and its customer told."""

    def work(session: Session) -> bool:
        part = fulfilment_of(order)
        parcel = parcel_of(session, part.id or 0)
        told = notification_of(session, part.id or 0, Node.SHIPPED)
        return part.stage == Stage.SHIPPED.value and told is not None and parcel is not None

    return transact(work)


def refund_state(order: Order) -> str:
    """The state of the order's only refund, "" while there is none."""
    found = transact(lambda s: refunds_of(s, order.id or 0))
    return found[0].state if found else ""
