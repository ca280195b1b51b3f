"""The pages for sheets of orders over real HTTP: uploaded, looked over, tried, confirmed; and who may see what."""

from __future__ import annotations

import asyncio
import io
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from openpyxl import Workbook, load_workbook
from sqlmodel import Session

from integrations.sandbox.opening import open_book
from integrations.spreadsheets.kept_sheets import Keeper, SheetGone, opened, sweep
from models import order_sheet, sheet_run
from models.database import transact
from models.order_sheet import OrderSheet, SheetState
from models.parcel import keep_parcel
from models.privacy import PrivacyKeyMissing
from tasks.importing import import_sheet
from tests.integrations.portal_server import Browser, Portal, committed, now, one, running_portal, signed_in
from tests.sheets import baskets, quiet, sheet_file


@pytest.fixture
def portal(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Portal]:
    """A portal with the products of the history; uploaded files lie below `tmp_path`."""
    monkeypatch.setenv("ORDERLOOM_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("ORDERLOOM_POLICY", '{"judge_batches": false}')
    with running_portal(database_url, monkeypatch) as running:
        committed(lambda session: open_book(session, now()))
        yield running


@pytest.fixture
def browser(portal: Portal) -> Iterator[Browser]:
    """A customer service lead."""
    with signed_in(portal, "林主管", "customer_service_lead") as person:
        yield person


def sent(browser: Browser, name: str, data: bytes, **fields: str) -> httpx.Response:
    """Upload a sheet."""
    form = {"csrf": browser.token("/imports"), "shop": "pdd-旗舰店", **fields}
    return browser.post("/imports", data=form, files={"file": (name, data)})


def uploaded(browser: Browser, data: bytes, name: str = "订单.csv", **fields: str) -> str:
    """Upload a good sheet; its page."""
    answer = sent(browser, name, data, **fields)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def csv_of(tmp_path: Path, orders: Any = 6, **how: Any) -> bytes:
    return sheet_file(tmp_path / "made.csv", orders, **how).read_bytes()


def form_of(page: str) -> dict[str, str]:
    """The choices on the page of a sheet as they stand."""
    found = {}
    for name, body in re.findall(r'<select name="(\w+)".*?>(.*?)</select>', page, re.S):
        chosen = re.search(r'value="([^"]*)" selected', body)
        found[name] = chosen[1] if chosen else ""
    return found


def do(browser: Browser, place: str, what: str, **changes: str) -> httpx.Response:
    page = browser.get(place).text
    form = form_of(page) | changes
    return browser.post(place, data={"csrf": browser.token(place), "do": what, **form})


def worked_through(place: str) -> OrderSheet:
    """What the stack does with a confirmed sheet."""
    return asyncio.run(import_sheet(int(place.rpartition("/")[2]), quiet))


def column(page: str, header: str) -> str:
    """The name of the select of a column."""
    found = re.search(rf'<select name="(c\d+)" aria-label="{re.escape(header)}当作"', page)
    assert found, header
    return found[1]


def stored(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "state" / "sheets").iterdir())


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.02)


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


def test_forms_with_files_are_checked_and_bounded(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = ("a.csv", csv_of(tmp_path))
    stolen = browser.post("/imports", data={"csrf": "0" * 64, "shop": "x"}, files={"file": sheet})
    foreign = browser.post(
        "/imports", data={"csrf": browser.token("/imports"), "shop": "x"}, files={"file": sheet},
        headers={"Origin": "http://evil.test"},
    )  # fmt: skip
    none = browser.post("/imports", data={"csrf": browser.token("/imports"), "shop": "x"}, files={"other": sheet})
    nameless = sent(browser, *sheet, shop=" ")
    row = sent(browser, *sheet, header_row="zero")
    monkeypatch.setattr("integrations.portal.streamed_uploads.MOST_BYTES", 1000)
    huge = sent(browser, "a.csv", b"x" * 100_000)
    assert [one.status_code for one in (stolen, foreign, none, nameless, row, huge)] == [403, 403, 400, 400, 400, 413]
    assert one("SELECT count(*) FROM order_sheet") == 0
    assert stored(tmp_path) == []


def bomb() -> bytes:
    """A workbook that unpacks to gigabytes, as it announces."""
    book, out = Workbook(), io.BytesIO()
    assert book.active is not None
    book.active.append(["订单号", "数量"])
    book.save(out)
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(out.getvalue())) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            data = old.read(part)
            new.writestr(part.filename, data + b" " * (600 * 1024**2) if part.filename.endswith("styles.xml") else data)
        for number in range(3):
            new.writestr(f"xl/more{number}.xml", b" " * (600 * 1024**2))
    return made.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.csv", b"", "是空的"),
        ("a.xlsx", b"PK\x03\x04broken", "已损坏"),
        ("a.xls", b"\xd0\xcf\x11\xe0" + b"\0" * 100, "旧版 Excel"),
        ("a.csv", b"\0" * 4000, "空字符"),
        ("a.html", b"<html><table>", "网页"),
        ("a.csv", "订单号,数量\n".encode() + b"1," + b"x" * 10_000_000 + b"\n", "超过 1 MB"),
        ("a.csv", ",".join(f"c{n}" for n in range(1_000_000)).encode() + b"\n1,2\n", "超过"),
        ("a.csv", '订单号,数量\n"1,2\n'.encode(), "引号"),
        ("a.csv", "只有一句话".encode(), ""),
    ],
    ids=range(9),
)
def test_a_file_that_cannot_be_used_is_said_and_not_kept(
    browser: Browser, tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    answer = sent(browser, name, data)
    assert answer.status_code == 400, answer.headers
    assert words in answer.text
    assert one("SELECT count(*) FROM order_sheet") == 0
    assert stored(tmp_path) == []


def test_a_bomb_is_not_unpacked(browser: Browser, tmp_path: Path) -> None:
    answer = sent(browser, "a.xlsx", bomb())
    assert answer.status_code == 400 and "展开后太大" in answer.text
    assert stored(tmp_path) == []


def test_an_encoding_that_cannot_be_told_is_chosen_by_a_person(browser: Browser, tmp_path: Path) -> None:
    text = csv_of(tmp_path, 2, encoding="utf-8").decode()
    rare = text.replace("待发货", "\u7940\u77a4\u9f8d\u9f8d").encode("gb18030") + b"\xff\xff"
    place = uploaded(browser, rare)
    page = browser.get(place).text
    assert "哪一种读得通" in page and "确认导入" not in page
    wrong = browser.send_form(place, f"{place}/open", encoding="big5")
    assert wrong.status_code == 400 and "不是 Big5" in wrong.text
    assert browser.send_form(place, f"{place}/open", encoding="klingon").status_code == 400
    assert do(browser, place, "confirm").status_code == 409


def test_a_wrong_encoding_is_said_and_a_wrong_header_row_is_corrected(browser: Browser, tmp_path: Path) -> None:
    data = csv_of(tmp_path, 3, encoding="utf-8")
    wrong = sent(browser, "a.csv", data, encoding="gb18030")
    assert wrong.status_code == 400 and "不是 GB18030" in wrong.text
    assert stored(tmp_path) == []
    place = uploaded(browser, data, header_row="2")
    assert "还没有指定哪一列是订单号" in browser.get(place).text
    browser.send_form(place, f"{place}/open", header_row="1")
    assert "列名是订单号的常见写法" in browser.get(place).text
    do(browser, place, "confirm")
    assert worked_through(place).counts["outcomes"] == {"new": 3}


def test_another_worksheet_is_chosen(browser: Browser, tmp_path: Path) -> None:
    path = sheet_file(tmp_path / "a.xlsx", 2)
    book = load_workbook(path)
    book.create_sheet("封面", 0).append(["说明", "请看第二张", "订单号", "数量"])
    book.save(path)
    answer = sent(browser, "a.xlsx", path.read_bytes(), sheet="订单")
    place = answer.headers["location"]
    assert "工作表:订单" in browser.get(place).text
    do(browser, place, "confirm")
    assert worked_through(place).counts["outcomes"] == {"new": 2}


def test_hostile_text_stays_text(browser: Browser, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>{{7*7}}"
    orders = [replace(one, basket=replace(one.basket, note=evil)) for one in baskets(2)]
    data = csv_of(tmp_path, orders).replace("买家留言".encode(), evil.encode())
    place = uploaded(browser, data, f"{evil}.csv")
    page = browser.get(place).text
    assert "<script>alert" not in page and "49" not in page.partition("每一列")[0].partition("<h1>")[2]
    assert "<script>alert" not in browser.get("/imports").text
    assert browser.get(f"/imports/{2**70}").status_code == 404


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


def test_three_hundred_columns_fit_the_form(browser: Browser, tmp_path: Path) -> None:
    head, *rows = csv_of(tmp_path, 2, encoding="utf-8").decode().splitlines()
    more = 300 - len(head.split(","))
    data = "\n".join([head + "".join(f",列{n}" for n in range(more)), *(row + ",x" * more for row in rows)])
    place = uploaded(browser, data.encode())
    assert do(browser, place, "confirm").status_code == 303
    assert worked_through(place).counts["outcomes"] == {"new": 2}


def test_kept_files_are_sealed_whole_and_swept(portal: Portal, tmp_path: Path) -> None:
    data = bytes(range(256)) * 12_345
    with Keeper() as keeper:
        keeper.write(data[:5])
        keeper.write(data[5:])
        keeper.finish()
    with opened(keeper.name) as path:
        assert path.read_bytes() == data and path.stat().st_mode & 0o077 == 0
    assert len(stored(tmp_path)) == 1
    (file,) = stored(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PrivacyKeyMissing), opened(keeper.name):
        pass
    with pytest.raises(SheetGone), opened("nothing"):
        pass
    sweep(set())
    assert len(stored(tmp_path)) == 1  # young: somebody may be about to name it
    with pytest.raises(ZeroDivisionError), Keeper() as unfinished:
        unfinished.write(b"x")
        raise ZeroDivisionError
    assert len(stored(tmp_path)) == 1
    assert transact(lambda s: s.get(OrderSheet, 1)) is None
