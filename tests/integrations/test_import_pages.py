"""The pages for sheets of orders over real HTTP: uploaded, looked over, tried, confirmed; and who may see what."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from openpyxl import load_workbook
from sqlmodel import Session

from models import order_sheet, sheet_run
from models.order_sheet import SheetState
from models.parcel import keep_parcel
from tests.integrations.import_browser import (
    column,
    csv_of,
    do,
    form_of,
    import_portal,
    stored,
    until,
    uploaded,
    worked_through,
)
from tests.integrations.portal_server import Browser, Portal, committed, now, one, signed_in
from tests.sheets import baskets


@pytest.fixture
def portal(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Portal]:
    with import_portal(database_url, monkeypatch, tmp_path) as running:
        yield running


@pytest.fixture
def browser(portal: Portal) -> Iterator[Browser]:
    """A customer service lead."""
    with signed_in(portal, "林主管", "customer_service_lead") as person:
        yield person


def test_a_sheet_is_uploaded_looked_over_tried_and_imported(browser: Browser, tmp_path: Path) -> None:
    orders = baskets(6)
    orders[2] = replace(orders[2], basket=replace(orders[2].basket, name=""))
    place = uploaded(browser, csv_of(tmp_path, orders))
    page = browser.get(place).text
    # every column is shown with what it is taken for and why, and the first orders as they would be taken
    for words in ("编码:UTF-8", "订单编号", "列名是订单号的常见写法", "前几单会这样入库", orders[0].order_id, "待发货",
                  "还没有导入"):  # fmt: skip
        assert words in page, words
    assert orders[0].basket.street not in page.partition("前几单会这样入库")[2]
    assert one("SELECT count(*) FROM orders") == 0
    # tried: the stack says what would happen, and nothing is written
    assert do(browser, place, "try").headers["location"] == place
    waiting = browser.get(place).text
    assert (
        "排队中" in waiting and 'data-live="2"' in waiting and "<progress" in waiting and "/static/live.js" in waiting
    )
    assert do(browser, place, "confirm").status_code == 409  # not while it is worked on
    worked_through(place)
    tried = browser.get(place).text
    assert "已试算" in tried and "试算:会是 新单 5、搁置 1" in tried and "什么也没有写入" in tried
    assert one("SELECT count(*) FROM orders") == 0
    # confirmed: it is imported, the file is deleted, and the page says what was set aside
    assert do(browser, place, "confirm").status_code == 303
    worked_through(place)
    done = browser.get(place).text
    assert "已导入" in done and "新单 5、搁置 1" in done and "收货地址缺少收件人姓名" in done
    assert one("SELECT count(*) FROM orders WHERE shop = 'pdd-旗舰店'") == 5
    assert stored(tmp_path) == []
    assert f'href="{place}"' in browser.get("/imports").text
    assert do(browser, place, "confirm").status_code == 409
    # the same file once more
    again = uploaded(browser, csv_of(tmp_path, orders))
    told = browser.get(again).text
    assert "同一份文件已由 林主管" in told and "同样的列 林主管 确认过" in told
    do(browser, again, "confirm")
    worked_through(again)
    assert "已有,没有变化 5、搁置 1" in browser.get(again).text


def test_columns_are_changed_before_they_are_used(browser: Browser, tmp_path: Path) -> None:
    data = csv_of(tmp_path).replace("商品数量".encode(), b"ABC")
    place = uploaded(browser, data)
    page = browser.get(place).text
    assert "还没有指定哪一列是数量" in page or form_of(page)[column(page, "ABC")] == "quantity"
    wrong = do(browser, place, "look", **{column(page, "ABC"): "note", column(page, "买家留言"): "-"})
    assert wrong.status_code == 303
    assert "还没有指定哪一列是数量" in browser.get(place).text
    assert do(browser, place, "confirm").headers["location"] == place
    assert "还不能导入" in browser.get(place).text
    do(browser, place, "look", **{column(page, "ABC"): "quantity", column(page, "健康备注"): "o"})
    page = browser.get(place).text
    assert form_of(page)[column(page, "健康备注")] == "o"
    do(browser, place, "confirm")
    assert worked_through(place).counts["outcomes"] == {"new": 6}
    strange = do(browser, uploaded(browser, csv_of(tmp_path)), "look", c0="nonsense")
    assert strange.status_code == 400


def test_dates_that_nobody_can_tell_are_asked_about(browser: Browser, tmp_path: Path) -> None:
    data = re.sub(rb"2024-\d\d-\d\d \d\d:\d\d:\d\d", b"03/04/2026 10:00", csv_of(tmp_path, 2))
    place = uploaded(browser, data)
    assert "分不清日和月" in browser.get(place).text
    do(browser, place, "confirm")
    assert committed(lambda s: order_sheet.find(s, 1).state) == SheetState.UPLOADED.value
    do(browser, place, "confirm", date_order="day_first")
    worked_through(place)
    assert one("SELECT count(*) FROM orders WHERE placed_at::date = '2026-04-03'") == 2


def test_status_words_that_nobody_explained_are_asked_about(browser: Browser, tmp_path: Path) -> None:
    place = uploaded(browser, csv_of(tmp_path, 2).replace("待发货".encode(), "仓内待处置".encode()))
    assert "不认识的状态" in browser.get(place).text
    do(browser, place, "look", s0="to_ship")
    do(browser, place, "confirm")
    assert worked_through(place).counts["outcomes"] == {"new": 2}


def test_rejected_rows_are_downloaded_mended_and_sent_again(browser: Browser, tmp_path: Path) -> None:
    orders = baskets(4)
    orders[1] = replace(orders[1], basket=replace(orders[1].basket, name="", note="=HYPERLINK(1)"))
    place = uploaded(browser, csv_of(tmp_path, orders))
    do(browser, place, "confirm")
    worked_through(place)
    answer = browser.get(f"{place}/rejected.csv")
    assert "attachment" in answer.headers["content-disposition"]
    text = answer.content.decode("utf-8-sig")
    assert text.splitlines()[0].endswith(",原因") and "'=HYPERLINK(1)" in text
    book = load_workbook(io.BytesIO(browser.get(f"{place}/rejected.xlsx").content)).worksheets[0]
    assert all(cell.data_type != "f" for row in book.iter_rows() for cell in row)
    assert book.max_row == len(text.splitlines())
    mended = text.replace(f",{orders[1].basket.buyer},,", f",{orders[1].basket.buyer},王小明,")
    again = uploaded(browser, mended.encode("utf-8-sig"))
    do(browser, again, "confirm")
    assert worked_through(again).counts["outcomes"] == {"new": 1}
    assert browser.get(f"{place}/rejected.pdf").status_code == 404


def test_what_is_running_can_be_stopped_and_gone_on_with(browser: Browser, tmp_path: Path) -> None:
    place = uploaded(browser, csv_of(tmp_path))
    do(browser, place, "confirm")
    committed(lambda s: sheet_run.begin(s, 1, "worker", False, now()))
    assert "正在读取" in browser.get(place).text
    assert browser.send_form(place, place, do="discard").status_code == 409
    browser.send_form(place, place, do="stop")
    assert "林主管 停止了导入" in browser.get(place).text
    do(browser, place, "confirm")
    assert worked_through(place).counts["outcomes"] == {"new": 6}


def test_a_sheet_that_is_thrown_away_is_gone(browser: Browser, tmp_path: Path) -> None:
    place = uploaded(browser, csv_of(tmp_path))
    assert len(stored(tmp_path)) == 1
    assert baskets(1)[0].basket.phone.encode() not in stored(tmp_path)[0].read_bytes()
    assert stored(tmp_path)[0].stat().st_mode & 0o077 == 0
    browser.send_form(place, place, do="discard")
    until(lambda: stored(tmp_path) == [])
    assert one("SELECT count(*) FROM order_sheet WHERE head <> '' OR stored <> ''") == 0
    assert f'href="{place}"' not in browser.get("/imports").text
    assert "请重新上传" in do(browser, place, "confirm").text


def test_others_see_figures_and_no_cell(portal: Portal, browser: Browser, tmp_path: Path) -> None:
    orders = baskets(3)
    orders[1] = replace(orders[1], basket=replace(orders[1].basket, phone="一三八零零"), status="什么状态")
    place = uploaded(browser, csv_of(tmp_path, orders))
    with signed_in(portal, "小周", "customer_service") as other:
        page = other.get(place).text
        assert orders[0].basket.phone not in page and orders[0].order_id not in page
        assert "请找客服主管" in page
        assert other.send_form("/", place, do="confirm").status_code == 403
        assert other.send_form("/", f"{place}/open").status_code == 403
        assert other.get(f"{place}/rejected.csv").status_code == 403
        form = {"csrf": other.token("/"), "shop": "x"}
        assert other.post("/imports", data=form, files={"file": ("a.csv", b"x")}).status_code == 403
        do(browser, place, "confirm")
        worked_through(place)
        page = other.get(place).text
        assert "搁置 1" in page and "什么状态" not in page and "订单状态" in page
        assert orders[1].basket.street not in page
    with Browser(portal) as nobody:
        assert nobody.get(place).status_code == 303
        posted = nobody.post("/imports", files={"file": ("a.csv", b"x")}, data={"csrf": "x"})
        assert posted.headers["location"] == "/sign-in"


def test_waybills_are_downloaded(browser: Browser, tmp_path: Path) -> None:
    place = uploaded(browser, csv_of(tmp_path, 1))
    do(browser, place, "confirm")
    worked_through(place)

    def ship(session: Session) -> None:
        order, part = session.connection().exec_driver_sql("SELECT order_id, id FROM fulfilment").one()
        keep_parcel(session, order, part, "sf_express", "XL-1-1", "SF0001", now()).told_channel_at = now()

    committed(ship)
    assert "pdd-旗舰店" in browser.get("/imports").text
    told = browser.get("/imports/waybills.csv", params={"shop": "pdd-旗舰店", "since": "2026-01-01"})
    assert "顺丰速运,SF0001" in told.content.decode("utf-8-sig")
    book = load_workbook(io.BytesIO(browser.get("/imports/waybills.xlsx", params={"shop": "pdd-旗舰店"}).content))
    assert [cell.value for cell in book.worksheets[0][2]][1:3] == ["顺丰速运", "SF0001"]
    assert browser.get("/imports/waybills.csv", params={"shop": "别家"}).status_code == 404
