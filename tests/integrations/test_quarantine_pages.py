"""The quarantine pages: who sees what, what can be corrected, and what is said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape

import httpx
import pytest
from sqlmodel import Session, select

from models.book import take_orders
from models.intake import IncomingOrder, Unreadable
from models.order import Contact, find_order, lines_of, reveal
from models.product import Product, save_products
from models.quarantine import Quarantined, waiting_list
from models.timeline import timeline
from tests.integrations.portal_server import Browser, Portal, committed, now, running_portal, signed_in
from tests.models.build import cans, incoming, open_shop


@pytest.fixture
def portal(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    """A portal with a shop's catalogue and nothing else."""
    with running_portal(database_url, monkeypatch) as running:
        committed(open_shop)
        yield running


@pytest.fixture
def browser(portal: Portal) -> Iterator[Browser]:
    """A browser of a customer service lead."""
    with signed_in(portal, role="customer_service_lead") as browsing:
        yield browsing


def test_an_order_is_corrected_on_its_page_and_enters(browser: Browser) -> None:
    # given an order with an emoji for a name, no phone, and a line nobody knows
    order = with_receiver(name="🐶", phone="")
    id = set_aside(replace(order, lines=(replace(cans(), sku="TYPO"),)))
    page = browser.get(f"/quarantine/{id}").text
    for shown in ("表情符号", "缺少电话", "不在商品表", 'value="TYPO"', "隔离区", 'value="20.00"'):
        assert shown in page
    # when a person mends two of three
    half = send(browser, id, {"receiver.name": "王小明", "line.0.sku": cans().sku})
    # then the page says what is left, and keeps what was typed
    assert half.status_code == 200
    assert "还不能入库" in half.text
    assert 'value="王小明"' in half.text
    # and with the third it is in the book
    done = send(browser, id, {"receiver.phone": "13800138000"})
    assert done.status_code == 303
    order_no = done.headers["location"].removeprefix("/orders/")
    entered = committed(lambda s: find_order(s, order_no))
    receiver = committed(lambda s: reveal(s.get_one(Contact, entered.contact_id)))
    assert (receiver.name, receiver.phone) == ("王小明", "13800138000")
    assert [line.sku for line in committed(lambda s: lines_of(s, entered.id or 0))] == [cans().sku]
    assert f"已入库，订单号 {order_no}" in browser.get(f"/orders/{order_no}").text
    assert committed(waiting_list) == []
    # and pressed once more it is gone from here
    assert browser.get(f"/quarantine/{id}").status_code == 410


def test_money_is_typed_in_yuan(browser: Browser) -> None:
    # given an order whose total is a slip
    order = incoming()
    id = set_aside(replace(order, total_fen=order.total_fen + 100))
    assert send(browser, id, {"total_fen": f"¥{order.total_fen / 100:,.2f}"}).status_code == 303
    assert committed(waiting_list) == []


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("total_fen", "twelve", "不是金额"),
        ("total_fen", "1.234", "不是金额"),
        ("line.0.quantity", "2.5", "不是数量"),
        ("line.0.quantity", "", "不是数量"),
        ("receiver.name", "长" * 700, "太长"),
    ],
)
def test_what_cannot_be_meant_is_said_and_changes_nothing(browser: Browser, field: str, value: str, words: str) -> None:
    id = set_aside(with_receiver(name="🐶"))
    answer = send(browser, id, {field: value})
    assert answer.status_code == 400
    assert words in answer.text
    assert len(committed(waiting_list)) == 1


def test_fields_that_are_not_on_the_form_are_not_taken(browser: Browser) -> None:
    id = set_aside(with_receiver(name="🐶"))
    forged = {"receiver.name": "王小明", "status": "shipped", "line.99.sku": "A", "buyer": "x", "receiver.masked": "1"}
    done = send(browser, id, forged)
    order = committed(lambda s: find_order(s, done.headers["location"].removeprefix("/orders/")))
    assert (order.platform_status, order.buyer) == (incoming().status.value, incoming().buyer)


def test_all_with_one_fault_are_submitted_once_the_product_is_there(browser: Browser) -> None:
    for number in range(3):
        set_aside(replace(incoming(str(number)), lines=(replace(cans(), sku="A-1"),)))
    set_aside(replace(with_receiver(name="🐶"), channel_order_id="9"))
    page = browser.get("/quarantine?fault=unknown_sku").text
    assert "全部重新提交" in page
    assert page.count("编号") == 3
    answer = browser.send_form("/quarantine?fault=unknown_sku", "/quarantine", fault="unknown_sku")
    assert answer.status_code == 303
    assert "提交了 3 件,0 件已不在隔离区" in browser.get("/quarantine").text


def test_who_may_not_correct_sees_reasons_and_no_address(portal: Portal) -> None:
    id = set_aside(with_receiver(name="🐶", detail="科技园路 1 号"))
    with signed_in(portal, "审计员", "auditor") as auditor:
        page = auditor.get(f"/quarantine/{id}")
        assert "表情符号" in page.text
        assert "科技园路" not in page.text
        assert auditor.send_form("/", f"/quarantine/{id}", **{"receiver.name": "王"}).status_code == 403
    assert len(committed(waiting_list)) == 1


def test_what_could_not_be_read_says_where_to_mend_it(browser: Browser) -> None:
    committed(lambda s: take_orders(s, [Unreadable("douyin", "pets", "77", "pay_amount is 'many'", {"a": 1})], now()))
    (row,) = committed(waiting_list)
    assert "请在渠道后台改正" in browser.get(f"/quarantine/{row.id}").text
    assert send(browser, row.id or 0, {}).status_code == 409


def test_hostile_text_stays_text(browser: Browser) -> None:
    hostile = "<script>alert(1)</script>🐶\"'>{{7*7}}"
    id = set_aside(with_receiver(name=hostile))
    page = browser.get(f"/quarantine/{id}").text
    assert "<script>" not in page
    assert "49" not in page.split("收货人")[1].split("电话")[0]


def test_an_order_of_hundreds_of_lines_fits_the_form(browser: Browser) -> None:
    lines = tuple(replace(cans(), channel_line_id=str(number)) for number in range(300))
    bad = replace(lines[250], sku="")
    order = replace(incoming(), lines=(*lines[:250], bad, *lines[251:]))
    fen = sum(line.paid_fen for line in order.lines)
    id = set_aside(replace(order, total_fen=fen, paid_fen=fen, freight_fen=0))
    page = browser.get(f"/quarantine/{id}").text
    assert "显示其中 30 行" in page
    assert "第 251 行" in page
    assert send(browser, id, {"line.250.sku": cans().sku}).status_code == 303


def test_an_address_that_came_while_the_form_was_open_is_not_overwritten(browser: Browser) -> None:
    # given an open form, and the customer's new address meanwhile
    order = replace(with_receiver(detail="旧路1号"), lines=(replace(cans(), sku="TYPO"),))
    id = set_aside(order)
    form = fields_of(browser.get(f"/quarantine/{id}").text)
    assert order.receiver is not None
    moved = replace(order, receiver=replace(order.receiver, detail="新路2号"), updated_at=now())
    set_aside(moved)
    # when the form is sent
    form["line.0.sku"] = cans().sku
    answer = browser.post(f"/quarantine/{id}", data=form)
    # then nothing is changed, and the person sees what is new
    assert "和您打开时不同" in answer.text and 'value="新路2号"' in answer.text
    assert committed(lambda s: s.get_one(Quarantined, id)).resolved_at is None
    # and sent from the new page it enters, with the new address
    again = fields_of(answer.text) | {"line.0.sku": cans().sku}
    done = browser.post(f"/quarantine/{id}", data=again)
    entered = committed(lambda s: find_order(s, done.headers["location"].removeprefix("/orders/")))
    assert committed(lambda s: reveal(s.get_one(Contact, entered.contact_id))).detail == "新路2号"


def test_line_ends_that_a_browser_changes_are_no_correction(browser: Browser) -> None:
    # given a note of two lines, which browsers send back with other line ends
    order = replace(incoming(), note="放门口\n谢谢", lines=(replace(cans(), sku="TYPO"),))
    id = set_aside(order)
    done = send(browser, id, {"note": "放门口\r\n谢谢", "line.0.sku": cans().sku})
    entered = committed(lambda s: find_order(s, done.headers["location"].removeprefix("/orders/")))
    assert entered.note == "放门口\n谢谢"
    changed = [
        event.detail["fields"]
        for event in committed(lambda s: timeline(s, entered.id or 0))
        if event.kind == "corrected"
    ]
    assert [[field.rsplit(".", 1)[-1] for field in fields] for fields in changed] == [["sku"]]


def test_a_number_that_no_row_can_have_is_not_there(browser: Browser) -> None:
    assert browser.get(f"/quarantine/{2**63}").status_code == 404


def fields_of(page: str) -> dict[str, str]:
    """Every field of the form on a page, as a browser would send it back untouched."""
    found = re.findall(r'<input (?:type="hidden" )?name="([^"]+)" value="([^"]*)"', page.split('class="stacked"')[1])
    note = re.search(r"<textarea[^>]*>([^<]*)</textarea>", page)
    return {name: unescape(value) for name, value in found} | {"note": unescape(note[1]) if note else ""}


def with_receiver(**changes: str) -> IncomingOrder:
    """A paid order with some of its receiver's fields changed."""
    order = incoming()
    assert order.receiver is not None
    return replace(order, receiver=replace(order.receiver, **changes))  # type: ignore[arg-type]


def set_aside(order: IncomingOrder) -> int:
    """Take in an order that cannot enter; the number of its row."""
    committed(lambda s: take_orders(s, [order], now()))
    return committed(lambda s: _id(s, order))


def _id(session: Session, order: IncomingOrder) -> int:
    return session.exec(select(Quarantined.id).where(Quarantined.channel_order_id == order.channel_order_id)).one() or 0


def send(browser: Browser, id: int, fields: dict[str, str]) -> httpx.Response:
    """Submit the form of one order."""
    return browser.send_form(f"/quarantine/{id}", f"/quarantine/{id}", **fields)


def test_one_that_cannot_be_submitted_takes_nothing_of_the_others_back(browser: Browser) -> None:
    # given three orders that lack a product, and what was kept of the second is spoiled
    ids = [set_aside(replace(incoming(str(number)), lines=(replace(cans(), sku="A-1"),))) for number in range(3)]
    committed(lambda s: _spoil(s, ids[1]))
    committed(lambda s: save_products(s, [Product(sku="A-1", title="新品", price_fen=100)]))
    # when all are submitted again
    answer = browser.send_form("/quarantine?fault=unknown_sku", "/quarantine", fault="unknown_sku")
    # then the others are in the book
    assert answer.status_code == 303
    assert "提交了 3 件,2 件已不在隔离区" in browser.get("/quarantine").text
    assert [row.id for row in committed(waiting_list)] == [ids[1]]


def test_who_may_not_correct_submits_nothing(portal: Portal) -> None:
    set_aside(replace(incoming(), lines=(replace(cans(), sku="A-1"),)))
    committed(lambda s: save_products(s, [Product(sku="A-1", title="新品", price_fen=100)]))
    with signed_in(portal, "审计员", "auditor") as auditor:
        assert auditor.send_form("/", "/quarantine", fault="unknown_sku").status_code == 403
        assert auditor.post("/quarantine", data={"fault": "unknown_sku", "csrf": "0" * 64}).status_code == 403
    assert len(committed(waiting_list)) == 1


def _spoil(session: Session, id: int) -> None:
    row = session.get_one(Quarantined, id)
    row.reading = b"spoiled" * 8
    session.add(row)
