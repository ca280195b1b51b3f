"""The stock pages over real HTTP: what they show, what each form changes and under whose name, and sheets of counts."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta

import httpx
import pytest
from openpyxl import Workbook
from sqlalchemy import text
from sqlmodel import Session, select

from models import stock_count_apply
from models.backorder import ExpectedReceipt, wait_for
from models.fulfilment import Stage, fulfilments_of
from models.pool import StockRule
from models.product import Product, save_products
from models.settings import PolicySettings
from models.stock import StockMovement
from models.stock_count import CountedRow, StockCount, preview
from models.warehouse import Warehouse
from models.wording import TZ
from tests.integrations.portal_server import Browser, Portal, committed, now, one, running_portal, signed_in
from tests.models.build import CAN, DRY, NOW, WAREHOUSE, cans, incoming, open_shop, taken, walk

WHY = {"reason": "采购单 88"}
OTHER = "WH-CD"


@pytest.fixture
def portal(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    with running_portal(database_url, monkeypatch) as running:
        committed(fill)
        yield running


@pytest.fixture
def browser(portal: Portal) -> Iterator[Browser]:
    """李强, the warehouse supervisor."""
    with signed_in(portal, "李强", "warehouse_supervisor") as person:
        yield person


def fill(session: Session) -> None:
    """Ten cans in one of two warehouses, four promised to SH-1001; SH-1002 waits for twenty."""
    open_shop(session, cans=10)
    session.add(Warehouse(code=OTHER, name="成都仓", province="四川省"))
    walk(session, taken(session, incoming("1", cans(4))).order_no, Stage.RESERVED)
    order = taken(session, incoming("2", cans(20), paid_at=NOW + timedelta(minutes=1)))
    assert order.id is not None and order.paid_at is not None
    (part,) = fulfilments_of(session, order.id)
    assert part.id is not None
    wait_for(session, part.id, order.id, [CAN], order.paid_at, date(2026, 11, 20), NOW)


def on_hand(sku: str = CAN, warehouse: str = WAREHOUSE) -> int:
    statement = "SELECT coalesce(sum(on_hand), 0) FROM stock_item WHERE sku = :sku AND warehouse = :warehouse"
    return int(one(statement, sku=sku, warehouse=warehouse))


def last() -> StockMovement:
    return committed(lambda s: s.exec(select(StockMovement).order_by(text("id DESC"))).first())  # type: ignore[arg-type]


def do(browser: Browser, what: str, **fields: str) -> httpx.Response:
    """Send a form of the SKU's page as it is now."""
    seen = str(one("SELECT coalesce(max(id), 0) FROM stock_movement WHERE sku = :sku", sku=CAN))
    everything = {"warehouse": WAREHOUSE, "seen": seen, **WHY, **fields}
    return browser.send_form(f"/stock/{CAN}", f"/stock/{CAN}", do=what, **everything)


def said(browser: Browser, page: str = f"/stock/{CAN}") -> str:
    return browser.get(page).text.partition('role="status">')[2].partition("</p>")[0]


def test_shelves_are_found_by_code_title_and_need(browser: Browser) -> None:
    page = browser.get("/stock").text
    assert f'href="/stock/{CAN}"' in page and "猫罐头" in page and "按单生产" in page
    for asked, found in (("q=can-4", {CAN}), ("q=犬粮", {DRY}), ("only=waiting", {CAN}), ("only=none", set())):
        listed = browser.get(f"/stock?{asked}").text
        assert {sku for sku in (CAN, DRY) if f'href="/stock/{sku}"' in listed} == found, asked
    for odd in ("q=%00", "q=%25", "page=99999999999", "page=-1", "only=nonsense"):
        assert browser.get(f"/stock?{odd}").status_code == 200
    assert "没有符合条件" in browser.get("/stock?q=NOTHING").text


def test_a_shelf_shows_its_figures(browser: Browser) -> None:
    row = browser.get(f"/stock?q={CAN}").text.partition("<tbody>")[2].partition("</tbody>")[0]

    for label, figure in (("在库", "10"), ("预留", "4"), ("缓冲", "1"), ("可售", "5")):
        assert f'data-label="{label}" class="right ' in row or f'data-label="{label}" class="right">' in row
        assert f">{figure}</td>" in row
    assert "1 单</td>" in row


def test_fifteen_hundred_skus_have_pages_and_none_is_slow(browser: Browser) -> None:
    committed(lambda s: save_products(s, [Product(sku=f"P-{n:04}", title=f"商品 {n}") for n in range(1562)]))

    begun = time.monotonic()
    first, last_page = browser.get("/stock?q=P-").text, browser.get("/stock?q=P-&page=32").text

    assert first.count('class="number"') == 50 and "共 1562 个商品" in first
    assert last_page.count('class="number"') == 12 and "下一页" not in last_page
    assert time.monotonic() - begun < 5


def test_one_sku_shows_ledger_holders_queue_and_channels(browser: Browser) -> None:
    committed(
        lambda s: s.add(
            ExpectedReceipt(warehouse=WAREHOUSE, sku=CAN, quantity=50, expected_on=date(2026, 12, 1), note="采购单 9")
        )
    )

    page = browser.get(f"/stock/{CAN}").text

    for shown in ("猫罐头", "可售合计 5", "SH-1001-1", "SH-1002-1", "告知客户 2026-11-20", "2026-12-01", "采购单 9",
                  "应显示 5", "期初", "+10 →", "+4 →", "单位:件"):  # fmt: skip
        assert shown in page, shown
    made = browser.get(f"/stock/{DRY}").text
    assert "按单生产" in made and 'name="do"' not in made
    assert browser.get("/stock/NOTHING").status_code == 404
    assert browser.get("/stock/%00").status_code == 404


def test_skus_may_have_any_letters(browser: Browser) -> None:
    committed(lambda s: save_products(s, [Product(sku="罐/头 A&B?", title="怪编码")]))

    assert "怪编码" in browser.get("/stock/%E7%BD%90%2F%E5%A4%B4%20A%26B%3F").text
    assert 'href="/stock/%E7%BD%90/%E5%A4%B4%20A%26B%3F"' in browser.get("/stock?q=怪编码").text


def test_every_form_changes_one_thing_under_ones_own_name(browser: Browser) -> None:
    assert do(browser, "receive", quantity="1,005").status_code == 303
    assert "到货 1005 件,现在在库 1015" in said(browser)
    assert (last().actor, last().reason, last().kind) == ("李强", "采购单 88", "receipt")
    do(browser, "adjust", quantity="-5")
    assert on_hand() == 1010
    do(browser, "transfer", quantity="10", into=OTHER)
    assert (on_hand(), on_hand(warehouse=OTHER)) == (1000, 10)
    do(browser, "count", quantity="999")
    assert (on_hand(), last().kind) == (999, "count")
    day = (now().astimezone(TZ) + timedelta(days=3)).date()
    do(browser, "expect", quantity="7", day=str(day))
    receipt = str(one("SELECT id FROM expected_receipt"))
    do(browser, "drop", receipt=receipt)
    assert one("SELECT count(*) FROM expected_receipt WHERE arrived_at IS NULL") == 0
    do(browser, "set", kind="pieces", number="3", short="compensate")
    rule = committed(lambda s: s.get_one(StockRule, CAN))
    assert (rule.buffer_pieces, rule.buffer_percent, rule.when_short, rule.set_by) == (3, None, "compensate", "李强")
    do(browser, "set", kind="pieces", number="3", short="compensate")
    assert "设置没有变化" in said(browser)
    assert one("SELECT count(*) FROM stock_setting_change") == 2
    assert "每仓 3" in browser.get(f"/stock/{CAN}").text


def test_a_count_on_the_page_says_who_lost_the_promise(browser: Browser) -> None:
    do(browser, "count", quantity="3")

    assert "失去预留:SH-1001-1 转入等货" in said(browser)


def test_a_form_sent_twice_is_one_receipt(browser: Browser) -> None:
    token, seen = browser.token(f"/stock/{CAN}"), str(last().id)
    form = {"csrf": token, "do": "receive", "warehouse": WAREHOUSE, "quantity": "5", "seen": seen, **WHY}

    for _ in range(2):
        assert browser.post(f"/stock/{CAN}", data=form).status_code == 303

    assert "没有重复记" in said(browser)
    assert on_hand() == 15
    assert do(browser, "receive", quantity="5").status_code == 303  # another one, from the page as it is now
    assert on_hand() == 20


@pytest.mark.parametrize(
    ("what", "fields", "words"),
    [
        ("receive", {"quantity": "5", "reason": ""}, "请写明原因"),
        ("receive", {"quantity": "0"}, "数量应在 1 到"),
        ("receive", {"quantity": "1.5"}, "数量要写整数"),
        ("receive", {"quantity": "5", "warehouse": "WH-X"}, "没有仓库 WH-X"),
        ("adjust", {"quantity": "-7"}, "只有 6 可动用"),
        ("transfer", {"quantity": "1", "into": WAREHOUSE}, "同一个仓库"),
        ("count", {"quantity": "-1"}, "盘点数量应在 0 到"),
        ("expect", {"quantity": "1", "day": "morgen"}, "预计到货日要写成"),
        ("expect", {"quantity": "1", "day": "2020-01-01"}, "已经过去"),
        ("drop", {"receipt": "99"}, "没有未到的预计到货"),
        ("set", {"kind": "percent", "number": "101"}, "0 到 100"),
        ("set", {"kind": "nonsense"}, "请选一种缓冲"),
        ("nonsense", {}, "没有说要做什么"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    browser: Browser, what: str, fields: dict[str, str], words: str
) -> None:
    before = one("SELECT count(*) FROM stock_movement")

    answer = do(browser, what, **fields)

    assert answer.status_code == 400
    assert words in answer.text and "没有任何改变" in answer.text
    assert one("SELECT count(*) FROM stock_movement") == before
    assert one("SELECT (SELECT count(*) FROM expected_receipt) + (SELECT count(*) FROM stock_rule)") == 0


def test_others_look_and_do_not_touch(portal: Portal) -> None:
    with signed_in(portal, "小周", "customer_service") as other:
        page = other.get(f"/stock/{CAN}")
        refused = do(other, "receive", quantity="5")
        upload = sent(other, "a.csv", f"SKU,数量\n{CAN},1\n".encode())
        assert page.status_code == 200 and 'name="do"' not in page.text
        assert (refused.status_code, upload.status_code) == (403, 403)
        assert "仓库主管" in refused.text
    with Browser(portal) as nobody:
        assert nobody.get("/stock").status_code == 303
        posted = nobody.post("/stock/import", files={"file": ("a.csv", b"SKU,n")}, data={"csrf": "x"})
        assert posted.status_code == 303 and posted.headers["location"] == "/sign-in"
    assert on_hand() == 10
    assert one("SELECT count(*) FROM stock_count") == 0


def sent(browser: Browser, name: str, data: bytes, **fields: str) -> httpx.Response:
    """Upload a sheet."""
    form = {"csrf": browser.token("/stock/import"), "warehouse": WAREHOUSE, **fields}
    return browser.post("/stock/import", data=form, files={"file": (name, data)})


def until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.05)


def test_a_sheet_is_shown_confirmed_and_written_once(browser: Browser) -> None:
    book = Workbook()
    assert book.active is not None
    for row in (["SKU", "实盘数量"], [CAN, 3], ["NONE", 1], ["ING-BEEF", 999_000], ["ING-CHICKEN", 1_000_000]):
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)

    answer = sent(browser, "C:\\盘点\\月末.xlsx", out.getvalue())
    place = answer.headers["location"]
    shown = browser.get(place).text

    assert answer.status_code == 303
    for words in ("月末.xlsx", "第 3 行 NONE:没有这个商品", "1 单会失去预留", 'class="losing"', "SH-1001-1", "-7",
                  "-1000", "确认写入 2 个商品,1 单失去预留", "还没有写入"):  # fmt: skip
        assert words in shown, words
    assert on_hand() == 10

    no_reason = browser.send_form(place, place, reason=" ")
    assert no_reason.status_code == 400 and on_hand() == 10
    assert browser.send_form(place, place, reason="月末盘点").headers["location"] == place
    until(lambda: one("SELECT count(*) FROM stock_count WHERE state = 'applied'"))

    done = browser.get(place).text
    assert "已全部写入,1 单失去预留" in done and "10 → 3;失去预留:SH-1001-1 转入等货" in done
    assert 'name="csrf" value' in done and "确认写入" not in done
    assert (on_hand(), on_hand("ING-BEEF")) == (3, 999_000)
    assert last().actor == "李强"
    before = one("SELECT count(*) FROM stock_movement")
    again = browser.send_form(place, place, reason="再来一次")
    assert again.status_code == 303
    assert "没有改变任何内容" in said(browser, place)
    assert one("SELECT count(*) FROM stock_movement") == before


def test_a_count_left_half_way_is_gone_on_with(browser: Browser) -> None:
    def half(session: Session) -> int:
        rows = [CountedRow(2, CAN, 9), CountedRow(3, "ING-BEEF", 5)]
        count = preview(session, rows, [], "a.csv", "a" * 64, WAREHOUSE, "李强", now())
        assert count.id is not None
        stock_count_apply.begin(session, count.id, "盘点", "李强", now() - timedelta(minutes=5))
        limits = stock_count_apply.Limits.of(PolicySettings())
        stock_count_apply.apply_next(session, count.id, 0, "李强", now() - timedelta(minutes=4), limits)
        return count.id

    number = committed(half)
    page = browser.get(f"/stock/import/{number}").text
    assert "写入停在半路,还有 1 行" in page and "继续写入" in page

    browser.send_form(f"/stock/import/{number}", f"/stock/import/{number}")
    until(lambda: one("SELECT count(*) FROM stock_count WHERE state = 'applied'"))

    assert (on_hand(), on_hand("ING-BEEF")) == (9, 5)
    assert one("SELECT count(*) FROM stock_movement WHERE kind = 'count'") == 2


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.csv", b"name,price\n1,2\n", "没有找到表头"),
        ("a.xlsx", b"PK\x03\x04broken", "已损坏"),
        ("a.csv", b"", "是空的"),
        ("a.csv", b"x" * (5 * 1024 * 1024 + 1), "超过 5 MB"),
    ],
    ids=range(4),
)
def test_a_sheet_that_cannot_be_used_is_said(browser: Browser, name: str, data: bytes, words: str) -> None:
    answer = sent(browser, name, data)

    assert answer.status_code == 400
    assert words in answer.text
    assert one("SELECT count(*) FROM stock_count") == 0


def test_forms_with_files_are_checked_and_bounded(browser: Browser) -> None:
    sheet = ("a.csv", f"SKU,数量\n{CAN},1\n".encode())
    stolen = browser.post("/stock/import", data={"csrf": "0" * 64, "warehouse": WAREHOUSE}, files={"file": sheet})
    token = browser.token("/stock/import")
    foreign = browser.post(
        "/stock/import", data={"csrf": token, "warehouse": WAREHOUSE}, files={"file": sheet},
        headers={"Origin": "http://evil.test"},
    )  # fmt: skip
    huge = sent(browser, "a.csv", b"x" * (6 * 1024 * 1024))
    plain_form = browser.post("/stock/import", data={"csrf": token, "warehouse": WAREHOUSE})
    two = browser.post(
        "/stock/import", data={"csrf": token}, files=[("file", sheet), ("file", sheet)],
    )  # fmt: skip
    nowhere = sent(browser, "a.csv", sheet[1], warehouse="WH-X")

    codes = [answer.status_code for answer in (stolen, foreign, huge, plain_form, two, nowhere)]
    assert codes == [403, 403, 413, 400, 400, 400]
    assert one("SELECT count(*) FROM stock_count") == 0


def test_what_is_downloaded_is_no_formula_and_what_is_filled_in_can_be_sent_back(browser: Browser) -> None:
    committed(lambda s: save_products(s, [Product(sku="=EVIL()", title="=1+1")]))
    blank = browser.get(f"/stock/import/sheet.csv?warehouse={WAREHOUSE}")
    assert blank.headers["content-type"].startswith("text/csv") and "attachment" in blank.headers["content-disposition"]
    rows = blank.content.decode("utf-8-sig").splitlines()
    assert rows[0] == "SKU,商品,账面数量,实盘数量" and f"{CAN},猫罐头,10," in rows

    filled = blank.content.replace("猫罐头,10,".encode(), "猫罐头,10,9".encode())
    place = sent(browser, "表.csv", filled + b"=EVIL(),x,1,=2\r\n").headers["location"]
    result = browser.get(f"{place}/result.csv").content.decode("utf-8-sig").splitlines()

    assert result[1].split(",")[1:5] == [CAN, "10", "9", "-1"]
    assert any(",'=EVIL()," in row for row in result)
    assert browser.get("/stock/import/sheet.csv?warehouse=WH-X").status_code == 404
    assert browser.get("/stock/import/404").status_code == 404
    assert browser.get(f"/stock/import/{2**70}").status_code == 404
    assert committed(lambda s: len(s.exec(select(StockCount)).all())) == 1
