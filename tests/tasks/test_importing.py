"""Importing sheets of orders: every order once, the same file twice changes nothing, and what is set aside is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import Session, select

from models import order_sheet
from models.database import transact, utcnow
from models.fulfilment import Stage
from models.order import Contact, Order, lines_of, reveal
from models.order_sheet import SheetRefused, SheetState
from models.privacy import unseal
from models.quarantine import waiting_list
from models.sheet_batch import sort_out
from tasks.importing import import_sheet
from tests.house import House
from tests.sheets import (
    add_column,
    baskets,
    brought,
    by_id,
    counted,
    imported,
    outcomes,
    quiet,
    rejected_rows,
    rewrite,
    sheet_file,
    spoil,
    whole_book,
)


def book_of(shop: str) -> list[tuple[object, ...]]:
    """What the book holds for a shop, but for its own numbers."""

    def work(session: Session) -> list[tuple[object, ...]]:
        found = session.exec(select(Order).where(Order.shop == shop).order_by(Order.channel_order_id)).all()
        return [
            (
                order.channel_order_id, order.platform_status, order.placed_at, order.paid_at, order.total_fen,
                order.paid_fen, order.freight_fen, order.discount_fen, order.buyer, order.note,
                reveal(session.get_one(Contact, order.contact_id)),
                tuple(
                    (line.channel_line_id, line.sku, line.title, line.quantity, line.unit_price_fen, line.paid_fen,
                     json.dumps(line.profile, sort_keys=True))
                    for line in lines_of(session, order.id or 0)
                ),
            )
            for order in found
        ]  # fmt: skip

    return transact(work)


async def test_the_same_file_twice_changes_not_a_row(home: House, tmp_path: Path) -> None:
    # given a file with good orders, an order that is over, one that is not paid, and some that cannot enter
    orders = baskets(40, prefix="TW-")
    orders[3], orders[4] = replace(orders[3], status="已发货"), replace(orders[4], status="待付款")
    path = sheet_file(tmp_path / "a.csv", orders)
    spoil(path, {1: ("联系手机", ""), 2: ("商品数量", "两三个"), 5: ("商家编码", "NO-SUCH")})
    # when it is imported
    first = await imported(path, "twice")
    # then each came to something
    assert outcomes(first) == {"new": 36, "over": 1, "quarantined": 3}
    assert first.orders == first.orders_done == 40
    before = whole_book()
    # and once more: known, and every row of every table is as it was
    second = await imported(path, "twice")
    assert outcomes(second) == {"known": 36, "over": 1, "quarantined": 3}
    assert whole_book() == before
    # the report of both names the same rows
    assert rejected_rows(first) == rejected_rows(second)


@pytest.mark.parametrize("form", ["a.csv", "b.csv", "c.csv", "d.xlsx"])
async def test_whatever_the_file_the_book_is_the_same(home: House, tmp_path: Path, form: str) -> None:
    how = {"a.csv": {"encoding": "utf-8-sig"}, "b.csv": {"encoding": "utf-8"}, "c.csv": {"encoding": "gb18030"}}
    orders = baskets(25, prefix="FORM-")
    reference = sheet_file(tmp_path / "reference.csv", orders, encoding="utf-8")
    path = sheet_file(tmp_path / form, orders, **how.get(form, {}))
    shop, other = f"form-{form}", f"reference-{form}"
    assert outcomes(await imported(path, shop)) == {"new": 25}
    await imported(reference, other)
    assert book_of(shop) == book_of(other)
    # and told again in another form, nothing is new
    before = whole_book()
    assert outcomes(await imported(reference, shop)) == {"known": 25}
    assert outcomes(await imported(path, other)) == {"known": 25}
    assert whole_book() == before


async def test_a_changed_row_is_a_change_and_a_cancelled_one_ends_its_order(home: House, tmp_path: Path) -> None:
    orders = baskets(6, prefix="CH-")
    await imported(sheet_file(tmp_path / "a.csv", orders), "changing")
    # given a file in which one address is another, one order is cancelled, one paid back, one new
    moved = replace(orders[0], basket=replace(orders[0].basket, street="新路 9 号 1 单元 101 室"))
    told = [moved, replace(orders[1], status="已取消"), replace(orders[2], status="退款成功"), *orders[3:]]
    told += baskets(1, skip=6, prefix="CH-")
    told += [replace(one, status="交易关闭") for one in baskets(1, skip=7, prefix="CH-")]
    path = sheet_file(tmp_path / "b.csv", told)
    # when it is tried, it says so and writes nothing
    before = whole_book()
    trial = await imported(path, "changing", dry_run=True)
    expected = {"new": 1, "changed": 1, "cancelled": 2, "known": 3, "over": 1}
    assert outcomes(trial) == expected
    assert whole_book() == before
    # and imported, exactly that happens
    assert outcomes(await imported(path, "changing")) == expected
    entered = by_id("changing")
    assert entered["CH-" + orders[1].order_id.removeprefix("CH-")].cancel_requested_at is not None
    assert entered[orders[2].order_id].platform_status == "refunded"
    contact = transact(lambda s: reveal(s.get_one(Contact, entered[orders[0].order_id].contact_id)))
    assert contact.detail == "新路 9 号 1 单元 101 室"
    # and once more nothing
    before = whole_book()
    assert outcomes(await imported(path, "changing")) == {"known": 7, "over": 1}
    assert whole_book() == before


async def test_what_is_not_newer_by_its_own_column_is_said_and_not_used(home: House, tmp_path: Path) -> None:
    order = baskets(1, prefix="ST-")
    path = sheet_file(tmp_path / "a.csv", order)
    add_column(path, "修改时间", "2026-11-02 10:00:00")
    await imported(path, "stale")
    again = sheet_file(tmp_path / "b.csv", [replace(order[0], basket=replace(order[0].basket, name="别人"))])
    add_column(again, "修改时间", "2026-11-02 09:00:00")
    before = whole_book()
    assert outcomes(await imported(again, "stale")) == {"stale": 1}
    assert whole_book() == before


async def test_a_trial_foresees_what_the_import_then_does(home: House, tmp_path: Path) -> None:
    orders = baskets(30, prefix="DRY-")
    path = sheet_file(tmp_path / "a.csv", orders)
    spoil(path, {1: ("联系手机", ""), 7: ("商家编码", "NOPE")})
    numbers = counted("SELECT last_value FROM order_number_seq")
    before = whole_book()
    trial = await imported(path, "trial", dry_run=True)
    assert whole_book() == before
    assert counted("SELECT last_value FROM order_number_seq") == numbers
    # confirmed for good, the same sheet does it
    transact(lambda s: order_sheet.confirm(s, trial.id or 0, trial.mapping, False, "王敏", utcnow()))
    done = await import_sheet(trial.id or 0, quiet, path=path)
    assert outcomes(done) == outcomes(trial) == {"new": 28, "quarantined": 2}
    assert len(rejected_rows(done)) == 2
    with pytest.raises(SheetRefused):
        transact(lambda s: order_sheet.confirm(s, trial.id or 0, trial.mapping, False, "王敏", utcnow()))


async def test_bad_rows_are_set_aside_each_with_its_reasons(home: House, tmp_path: Path) -> None:
    orders = [one for one in baskets(30, prefix="BAD-") if len(one.basket.lines) == 1][:8]
    path = sheet_file(tmp_path / "a.csv", orders)
    spoil(path, {2: ("商品数量", "很多"), 4: ("订单编号", "4.77E+18"), 6: ("收货人姓名", "")})
    sheet = await imported(path, "bad")
    assert outcomes(sheet)["quarantined"] == 3
    aside = [row for row in transact(waiting_list) if row.shop == "bad"]
    assert len(aside) == 3
    assert {fault["code"] for row in aside for fault in row.faults} == {"unreadable", "address_missing"}
    raw = [json.loads(unseal(row.raw)) for row in aside]
    assert sorted(number for one in raw for number in one["row_numbers"]) == [4, 6, 8]
    assert all(set(cells) >= {"订单编号", "商家编码"} for one in raw for cells in one["rows"])
    # and the report counts by column, and quotes no cell
    assert sheet.counts["reasons"] == {"unreadable:商品数量": 1, "unreadable:订单编号": 1, "address_missing": 1}
    kept = transact(lambda s: order_sheet.rejects(s, sheet.id or 0, 10))
    assert not any("很多" in row.why or "4.77E+18" in row.why for row in kept)
    assert any("很多" in unseal(row.secret).encode().decode("unicode_escape") for row in kept)


async def test_what_was_corrected_in_quarantine_is_known_to_the_same_file(home: House, tmp_path: Path) -> None:
    from models.resubmission import resubmit

    path = sheet_file(tmp_path / "a.csv", baskets(2, prefix="FIX-"))
    spoil(path, {1: ("收货人姓名", "")})
    await imported(path, "fixed")
    (row,) = [one for one in transact(waiting_list) if one.shop == "fixed"]
    transact(lambda s: resubmit(s, row.id or 0, {"receiver.name": "王小明"}, "小林", utcnow()))
    before = whole_book()
    assert outcomes(await imported(path, "fixed")) == {"known": 2}
    assert whole_book() == before


async def test_dates_that_nobody_can_tell_are_asked_about_before_anything_is_taken(home: House, tmp_path: Path) -> None:
    path = sheet_file(tmp_path / "a.csv", baskets(3, prefix="DATE-"))
    rewrite(path, lambda row: row | {"订单创建时间": "03/04/2026 10:00", "订单付款时间": "03/04/2026 10:05"})
    sheet = await imported(path, "dates")
    assert sheet.state == SheetState.FAILED.value and "分不清日和月" in sheet.error
    assert counted("SELECT count(*) FROM orders WHERE shop = 'dates'") == 0
    assert outcomes(await imported(path, "dates", date_order="day_first")) == {"new": 3}
    placed = by_id("dates").popitem()[1].placed_at
    assert (placed.month, placed.day) == (4, 3)


async def test_wrong_columns_throughout_take_in_nothing(home: House, tmp_path: Path) -> None:
    path = sheet_file(tmp_path / "a.csv", baskets(300, prefix="WR-"))
    before = whole_book()
    columns = {"商品数量": "note", "买家留言": "quantity"}
    sheet = await imported(path, "wrong", columns=columns)
    assert sheet.state == SheetState.FAILED.value and "多半是列对应错了" in sheet.error
    assert whole_book() == before


async def test_the_mapping_is_proposed_again_for_the_same_layout(home: House, tmp_path: Path) -> None:
    await imported(sheet_file(tmp_path / "a.csv", baskets(1, prefix="RE-")), "layout", columns={"买家留言": "ignore"})
    number = brought(sheet_file(tmp_path / "b.csv", baskets(2, prefix="RE-")), "layout", by="李强")
    sheet = transact(lambda s: order_sheet.find(s, number))
    assert sheet.mapping["columns"]["买家留言"] == "ignore"
    assert (sheet.mapping["confirmed_by"], sheet.proposal["known_by"]) == ("李强", "王敏")


async def test_sub_shops_are_shops_of_their_own(home: House, tmp_path: Path) -> None:
    path = sheet_file(tmp_path / "a.csv", baskets(2, prefix="SUB-"))
    rewrite(path, lambda row: row | {"店铺": "旗舰店"})
    assert outcomes(await imported(path, "sub", columns={"店铺": "shop"})) == {"new": 2}
    assert counted("SELECT count(*) FROM orders WHERE shop = 'sub/旗舰店'") == 2


async def test_orders_of_sheets_wait_for_a_lane_under_their_own_numbers(home: House, tmp_path: Path) -> None:
    sheet = await imported(sheet_file(tmp_path / "a.csv", baskets(2, prefix="NO-")), "numbers")
    assert outcomes(sheet) == {"new": 2}, rejected_rows(sheet)
    orders = by_id("numbers").values()
    assert all(order.order_no.startswith("XL-") and order.channel == "spreadsheet" for order in orders)
    ready = "SELECT count(*) FROM fulfilment f JOIN orders o ON o.id = f.order_id WHERE shop = 'numbers'"
    assert counted(f"{ready} AND stage = '{Stage.RECEIVED.value}' AND ready_at <= now()") == 2


async def test_what_is_known_is_sorted_out_without_being_read_again(home: House, tmp_path: Path) -> None:
    path = sheet_file(tmp_path / "a.csv", baskets(2, prefix="SO-"))
    await imported(path, "sorted")
    runs = counted("SELECT count(*) FROM validation_run")
    await imported(path, "sorted")
    assert counted("SELECT count(*) FROM validation_run") == runs
    assert transact(lambda s: sort_out(s, [], utcnow()).to_take) == []
