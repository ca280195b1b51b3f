"""The list of stock checks over real HTTP: what it shows, who may answer, and that an answer counts once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from models import stock_check
from models.timeline import EventKind
from tests.integrations.portal_money import a_check
from tests.integrations.portal_server import (
    RECEIVER,
    Browser,
    Portal,
    committed,
    now,
    one,
    running_portal,
    signed_in,
)

PAGE = "/stock-checks"


@pytest.fixture
def portal(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    with running_portal(database_url, monkeypatch) as running:
        yield running


@pytest.fixture
def keeper(portal: Portal) -> Iterator[Browser]:
    """老周, who runs the warehouse."""
    with signed_in(portal, "老周", "warehouse_supervisor") as person:
        yield person


def press(browser: Browser, check: stock_check.StockCheck, answer: str, *gone: str, **fields: str) -> httpx.Response:
    chosen = {f"gone:{sku}": "on" for sku in gone}
    return browser.send_form("/help", f"{PAGE}/{check.id}", answer=answer, **chosen, **fields)


def said(browser: Browser, page: str = PAGE) -> str:
    text = browser.get(page).text
    return text.partition('role="status">')[2].partition("</p>")[0]


def state_of(check: stock_check.StockCheck) -> str:
    return str(one("SELECT state FROM stock_check WHERE id = :id", id=check.id))


def compensations() -> int:
    return int(one("SELECT count(*) FROM compensation"))


def test_list_shows_the_most_urgent_first_with_what_to_look_for(keeper: Browser) -> None:
    a_check("SH-1001", {"FRESH-500": 2}, minutes=4)
    a_check("SH-1002", {"CAN-400": 3, "DUCK": 1500}, minutes=1)
    page = keeper.get(PAGE).text
    assert page.index("SH-1002") < page.index("SH-1001")
    for shown in (
        "SC-1",
        "SC-2",
        "SZ 仓",
        "鲜食主粮 500g</b> × 2 件",
        "猫罐头</b> × 3 件",
        "鸭肉</b> × 1500 克",
        "还有",
    ):
        assert shown in page
    assert page.count('value="there"') == 2
    assert page.count('name="gone:') == 3
    for hidden in (RECEIVER.name, RECEIVER.phone, "5678", "科技园"):
        assert hidden not in page
    assert '库存核对<b class="count">2</b>' in page


def test_looking_at_the_list_locks_nothing(keeper: Browser) -> None:
    order, _ = a_check()
    with ThreadPoolExecutor(1) as threads:

        def look_while_locked() -> int:
            def work(session: object) -> int:
                session.connection().exec_driver_sql("SELECT 1 FROM reservation FOR UPDATE")  # type: ignore[attr-defined]
                return threads.submit(lambda: keeper.get(PAGE).status_code).result(10)

            return committed(work)

        assert look_while_locked() == 200
    assert order.order.order_no in keeper.get(PAGE).text


def test_list_is_narrowed_to_a_warehouse_and_stays_so(keeper: Browser) -> None:
    a_check("SH-1001", warehouse="SZ")
    _, check = a_check("SH-1002", warehouse="HZ")
    page = keeper.get(f"{PAGE}?warehouse=HZ").text
    assert "SH-1002" in page
    assert "SH-1001" not in page
    for odd in ("NONE", "%00", "%F0%9F%90%B6", "x" * 500):
        assert "SH-1001" in keeper.get(f"{PAGE}?warehouse={odd}").text
    answer = press(keeper, check, "there", warehouse="HZ")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PAGE}?warehouse=HZ")


def test_empty_list_says_so(keeper: Browser) -> None:
    assert "没有等待核对的库存" in keeper.get(PAGE).text


def test_there_is_taken_under_ones_own_name(keeper: Browser) -> None:
    order, check = a_check()
    assert press(keeper, check, "there", who="别人").status_code == 303
    assert said(keeper) == "订单 SH-1001:已记下「有货」。"
    assert state_of(check) == "there"
    assert [event.actor for event in order.events(EventKind.STOCK_CHECK_ANSWERED)] == ["老周"]
    assert compensations() == 0
    assert one("SELECT wake_seq FROM fulfilment") == 1


def test_not_there_takes_the_chosen_goods_off_and_compensates_once(keeper: Browser) -> None:
    order, check = a_check(held={"FRESH-500": 2, "CAN-400": 3})
    for _ in range(2):
        assert press(keeper, check, "not_there", "CAN-400", remark="货架空了").status_code == 303
    assert "这次没有改变任何内容" in said(keeper)
    assert state_of(check) == "not_there"
    assert one("SELECT on_hand FROM stock_item WHERE sku = 'CAN-400'") == 27
    assert one("SELECT on_hand || '/' || reserved FROM stock_item WHERE sku = 'FRESH-500'") == "20/0"
    assert one("SELECT asked_by || ' ' || state FROM compensation") == "老周 due"
    assert [event.detail["remark"] for event in order.events(EventKind.STOCK_CHECK_ANSWERED)] == ["货架空了"]


def test_answer_of_somebody_else_in_between_is_told_and_stands(portal: Portal, keeper: Browser) -> None:
    _, check = a_check()
    with signed_in(portal, "李华", "customer_service_lead") as other:
        press(other, check, "not_there", "FRESH-500")
    press(keeper, check, "there")
    assert "已由 李华" in said(keeper)
    assert state_of(check) == "not_there"
    assert compensations() == 1


def test_pressing_at_once_counts_once(keeper: Browser) -> None:
    order, check = a_check()
    fields = {"csrf": keeper.token("/help"), "answer": "not_there", "gone:FRESH-500": "on"}
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda _: keeper.post(f"{PAGE}/{check.id}", data=fields).status_code, range(6)))
    assert compensations() == 1
    assert one("SELECT on_hand FROM stock_item") == 18
    assert len(order.events(EventKind.STOCK_CHECK_ANSWERED)) == 1


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 400),
        ({"answer": "yes"}, 400),
        ({"answer": "not_there"}, 400),
        ({"answer": "not_there", "gone:OTHER": "on"}, 400),
        ({"answer": "not_there", "gone:FRESH-500": "on", "remark": "长" * 201}, 400),
        ({"answer": "not_there", "gone:FRESH-500": "on", "remark": "\x00"}, 400),
    ],
)
def test_answer_that_is_none_changes_nothing(keeper: Browser, fields: dict[str, str], status: int) -> None:
    order, check = a_check()
    assert keeper.send_form("/help", f"{PAGE}/{check.id}", **fields).status_code == status
    assert state_of(check) == "open"
    assert order.events(EventKind.STOCK_CHECK_ANSWERED) == []
    assert one("SELECT on_hand || '/' || reserved FROM stock_item") == "20/2"


def test_check_that_does_not_exist_is_404(keeper: Browser) -> None:
    for number in (999, 2**63, 10**30):
        assert keeper.send_form("/help", f"{PAGE}/{number}", answer="there").status_code == 404


def test_what_was_let_go_may_still_turn_out_to_be_missing_until_it_ships(keeper: Browser) -> None:
    _, check = a_check(minutes=-1)
    _, gone = a_check("SH-1002", stage="shipped")
    for row in (check, gone):
        committed(lambda s, row=row: stock_check.silence(s, s.get_one(stock_check.StockCheck, row.id), now()))
    page = keeper.get(PAGE).text
    assert "没有等待核对的库存" in page
    assert "SH-1001" in page.partition("还没有发出的")[2]
    assert "SH-1002" not in page
    press(keeper, gone, "not_there", "FRESH-500")
    assert "已经发货" in said(keeper)
    press(keeper, check, "not_there", "FRESH-500")
    assert state_of(check) == "not_there"
    assert compensations() == 1


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("warehouse_supervisor", True),
        ("customer_service_lead", True),
        ("admin", True),
        ("customer_service", False),
        ("finance", False),
        ("nutritionist", False),
        ("marketing_manager", False),
        ("auditor", False),
    ],
)
def test_role_decides_who_may_answer(portal: Portal, role: str, may: bool) -> None:
    _, check = a_check()
    with signed_in(portal, "某人", role) as browser:
        page = browser.get(PAGE).text
        assert "SH-1001" in page
        assert ('value="there"' in page) == may
        answer = press(browser, check, "not_there", "FRESH-500")
    assert answer.status_code == (303 if may else 403)
    assert compensations() == may
    assert one("SELECT on_hand FROM stock_item") == (18 if may else 20)


@pytest.mark.parametrize("forged", ["missing", "other", "origin"])
def test_form_that_is_not_ours_is_refused_and_changes_nothing(portal: Portal, keeper: Browser, forged: str) -> None:
    _, check = a_check()
    fields = {"answer": "not_there", "gone:FRESH-500": "on"}
    if forged == "origin":
        fields["csrf"] = keeper.token("/help")
    if forged == "other":
        with signed_in(portal, "李华") as other:
            fields["csrf"] = other.token("/help")
    headers = {"origin": "https://evil.example"} if forged == "origin" else {}
    assert keeper.post(f"{PAGE}/{check.id}", data=fields, headers=headers).status_code == 403
    assert state_of(check) == "open"


def test_nothing_is_shown_or_answered_without_signing_in(portal: Portal) -> None:
    _, check = a_check()
    with Browser(portal) as stranger:
        assert stranger.get(PAGE).headers["location"] == "/sign-in?next=%2Fstock-checks"
        assert stranger.post(f"{PAGE}/{check.id}", data={"answer": "there"}).headers["location"] == "/sign-in"
    assert state_of(check) == "open"


def test_hostile_names_are_shown_as_text(keeper: Browser) -> None:
    a_check()
    hostile = "<script>alert(1)</script>\"'>"
    committed(lambda s: s.connection().exec_driver_sql("UPDATE product SET title = %s", (hostile,)))
    page = keeper.get(PAGE).text
    assert page.count("&lt;script&gt;alert(1)") == 2
    assert "<script>alert" not in page
