"""Money on the staff pages over real HTTP: who may decide, what each button does, and that none does it twice."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from models import hold
from models.coupon import issue
from models.order import Order
from models.refund import RefundStep, settle_by_hand
from models.settings import settings
from models.timeline import EventKind
from tests.integrations.portal_money import a_check, a_refund, being_asked_for, compensated, paid
from tests.integrations.portal_server import (
    Browser,
    Portal,
    Seeded,
    an_order_of,
    committed,
    now,
    one,
    running_portal,
    signed_in,
)

HERE = "/orders/SH-1001"
NUMBER = "SH-1001-1-R"


@pytest.fixture
def portal(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    with running_portal(database_url, monkeypatch) as running:
        yield running


@pytest.fixture
def finance(portal: Portal) -> Iterator[Browser]:
    """赵静, who keeps the books."""
    with signed_in(portal, "赵静", "finance") as person:
        yield person


def press(browser: Browser, action: str, order: str = HERE, **fields: str) -> httpx.Response:
    return browser.send_form("/help", f"{order}/{action}", **fields)


def said(browser: Browser, page: str = HERE) -> str:
    text = browser.get(page).text
    return text.partition('role="status">')[2].partition("</p>")[0]


def stopped(monkeypatch: pytest.MonkeyPatch, order_no: str = "SH-1001") -> Seeded:
    """An order whose compensation stopped at the limit."""
    monkeypatch.setenv("ORDERLOOM_POLICY__MOST_COMPENSATIONS_AN_HOUR", "0")
    settings.cache_clear()
    order, _ = a_check(order_no)
    assert compensated(order).state == "stopped"
    return order


def stuck(order_no: str = "SH-1001") -> Seeded:
    """An order whose refund is stuck."""
    order, _ = a_check(order_no)
    compensated(order)
    a_refund(order, RefundStep.STUCK, "用户银行卡已注销,电话 13812345678")
    return order


def compensation_now() -> str:
    return str(one("SELECT state || ' ' || asked_by || ' ' || decided_by FROM compensation"))


def codes(order: Seeded) -> list[str]:
    return [h.code for h in committed(lambda s: hold.open_holds(s, order.order_id))]


def test_order_page_says_why_it_is_compensated_and_what_became_of_it(finance: Browser) -> None:
    order, _ = a_check()
    row = compensated(order)
    a_refund(order, RefundStep.PROCESSING)
    given = committed(lambda s: issue(s, row, s.get_one(Order, order.order_id), now(), 90))
    assert given is not None
    page = finance.get(HERE).text
    for shown in (
        "补偿与退款", "仓库查无货", "SZ 查无货:FRESH-500", "由 仓库 老李 提出", "自动办理", "正在办理", "退款处理中",
        NUMBER, "微信支付", "520.00 元", "50.00 元", f"…{given.code[-4:]}", "还没有使用",
    ):  # fmt: skip
        assert shown in page, shown
    assert given.code not in page


@pytest.mark.parametrize(
    ("role", "may"),
    [("customer_service", True), ("customer_service_lead", True), ("admin", True), ("finance", False),
     ("warehouse_supervisor", False), ("auditor", False), ("marketing_manager", False)],
)  # fmt: skip
def test_code_of_a_coupon_is_shown_only_to_who_may_give_it_out(portal: Portal, role: str, may: bool) -> None:
    order, _ = a_check()
    row = compensated(order)
    given = committed(lambda s: issue(s, row, s.get_one(Order, order.order_id), now(), 90))
    assert given is not None
    with signed_in(portal, "某人", role) as browser:
        assert (given.code in browser.get(HERE).text) == may


def test_approving_sends_it_on_once_under_ones_own_name(finance: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    order = stopped(monkeypatch)
    assert codes(order) == ["compensation_limit"]
    assert press(finance, "compensation/decide", verdict="approve").status_code == 303
    assert "已批准" in said(finance)
    assert compensation_now() == "due warehouse:老李 赵静"
    assert codes(order) == []
    fence = one("SELECT fence FROM fulfilment")
    for verdict in ("approve", "decline"):
        press(finance, "compensation/decide", verdict=verdict)
        assert "没有等待批准的补偿,这次没有改变任何内容" in said(finance)
    assert compensation_now() == "due warehouse:老李 赵静"
    assert one("SELECT fence FROM fulfilment") == fence
    assert [event.actor for event in order.events(EventKind.COMPENSATION_DECIDED)] == ["赵静"]


def test_declining_pays_nothing(finance: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    order = stopped(monkeypatch)
    press(finance, "compensation/decide", verdict="decline")
    assert "已驳回" in said(finance)
    assert compensation_now() == "declined warehouse:老李 赵静"
    assert one("SELECT count(*) FROM refund") == 0
    press(finance, "compensation/again", part="1")
    assert "没有任何改变" in said(finance)
    assert compensation_now() == "declined warehouse:老李 赵静"
    assert codes(order) == []


@pytest.mark.parametrize("verdict", ["", "yes", "APPROVE"])
def test_decision_that_is_none_changes_nothing(finance: Browser, monkeypatch: pytest.MonkeyPatch, verdict: str) -> None:
    stopped(monkeypatch)
    assert press(finance, "compensation/decide", verdict=verdict).status_code == 400
    assert compensation_now() == "stopped warehouse:老李 "


def test_pressing_at_once_decides_once(finance: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    order = stopped(monkeypatch)
    fields = {"csrf": finance.token("/help"), "verdict": "approve"}
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda _: finance.post(f"{HERE}/compensation/decide", data=fields).status_code, range(6)))
    assert len(order.events(EventKind.COMPENSATION_DECIDED)) == 1


@pytest.mark.parametrize("state", ["due", "done", "stopped"])
def test_compensation_done_again_changes_nothing(finance: Browser, state: str) -> None:
    order, _ = a_check()
    compensated(order)
    a_refund(order, RefundStep.PAID)
    committed(lambda s: s.connection().exec_driver_sql("UPDATE compensation SET state = %s", (state,)))
    everything = (
        "SELECT (SELECT jsonb_agg(t) FROM (SELECT * FROM compensation) t)::text"
        " || (SELECT jsonb_agg(t) FROM (SELECT * FROM refund) t)::text"
        " || (SELECT jsonb_agg(t) FROM (SELECT * FROM fulfilment) t)::text"
        " || (SELECT jsonb_agg(t) FROM (SELECT * FROM orders) t)::text"
        " || (SELECT count(*) FROM order_event)::text || (SELECT count(*) FROM effect)::text"
    )
    before = one(everything)
    for _ in range(3):
        assert press(finance, "compensation/again", part="1").status_code == 303
        assert "这次没有改变任何内容" in said(finance)
    assert one(everything) == before


def test_order_without_a_compensation_has_none_to_do_again(finance: Browser) -> None:
    a_check()
    press(finance, "compensation/again", part="1")
    assert "没有补偿可以再办" in said(finance)
    assert one("SELECT count(*) FROM compensation") == 0


def test_compensation_by_hand_needs_a_reason_and_names_the_person(finance: Browser) -> None:
    order, _ = a_check()
    assert "手工补偿…" in finance.get(HERE).text
    for reason in ("", "  ", "长" * 201):
        assert press(finance, "compensate", part="1", reason=reason).status_code == 400
    assert one("SELECT count(*) FROM compensation") == 0
    for _ in range(2):
        press(finance, "compensate", part="1", reason="活动超卖")
    assert "这次没有改变任何内容" in said(finance)
    assert one("SELECT cause || ' ' || reason || ' ' || automatic FROM compensation") == "by_hand 活动超卖 false"
    assert [event.actor for event in order.events(EventKind.COMPENSATION_DUE)] == ["赵静"]
    page = finance.get(HERE).text
    assert "人工决定" in page
    assert "手工补偿…" not in page


def test_compensation_by_hand_goes_past_the_limit(finance: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERLOOM_POLICY__MOST_COMPENSATIONS_AN_HOUR", "0")
    settings.cache_clear()
    a_check()
    press(finance, "compensate", part="1", reason="活动超卖")
    assert compensation_now() == "due 赵静 赵静"


@pytest.mark.parametrize("what", ["unpaid", "shipped", "cancelling", "no part"])
def test_what_cannot_be_compensated_by_hand_is_said_and_not_done(finance: Browser, what: str) -> None:
    order = an_order_of(stage="shipped" if what == "shipped" else "reserved")
    if what != "unpaid":
        paid(order)
    if what == "cancelling":
        with_cancel = "UPDATE orders SET cancel_requested_at = now(), cancel_reason = '不要了'"
        committed(lambda s: s.connection().exec_driver_sql(with_cancel))
    if what != "no part":
        assert "手工补偿…" not in finance.get(HERE).text
    answer = press(finance, "compensate", part="2" if what == "no part" else "1", reason="x")
    assert answer.status_code == (404 if what == "no part" else 303)
    sentence = {"unpaid": "还没有核实付款", "shipped": "已经发货", "cancelling": "正在取消", "no part": ""}[what]
    assert sentence in said(finance)
    assert one("SELECT count(*) FROM compensation") == 0
    assert order.events(EventKind.COMPENSATION_DUE) == []


def test_stuck_refund_is_settled_by_hand_once(finance: Browser) -> None:
    order = stuck()
    assert codes(order) == ["refund_stuck"]
    assert "已线下退款…" in finance.get(HERE).text
    fence = one("SELECT fence FROM fulfilment")
    for _ in range(2):
        assert press(finance, "refunds/settle", refund_no=NUMBER).status_code == 303
    assert "已经了结,这次没有改变任何内容" in said(finance)
    assert one("SELECT state || ' ' || settled_by FROM refund") == "by_hand 赵静"
    assert codes(order) == []
    assert one("SELECT fence FROM fulfilment") == fence + 1
    assert [event.actor for event in order.events(EventKind.REFUND_REPORTED)] == ["refund", "赵静"]


@pytest.mark.parametrize("step", [RefundStep.DUE, RefundStep.PROCESSING])
def test_refund_that_still_moves_is_not_settled_by_hand(finance: Browser, step: RefundStep) -> None:
    order, _ = a_check()
    compensated(order)
    a_refund(order, step)
    assert "已线下退款…" not in finance.get(HERE).text
    press(finance, "refunds/settle", refund_no=NUMBER)
    assert "还在由平台办理" in said(finance)
    assert one("SELECT state FROM refund") == step.value


def test_stuck_refund_that_is_just_being_asked_for_again_is_not_settled_by_hand(finance: Browser) -> None:
    order, _ = a_check()
    compensated(order)
    being_asked_for(a_refund(order, RefundStep.STUCK, "余额不足"))
    press(finance, "refunds/settle", refund_no=NUMBER)
    assert "请一分钟后再看" in said(finance)
    assert one("SELECT state FROM refund") == "stuck"


def test_refund_of_another_order_is_not_settled_from_here(finance: Browser) -> None:
    stuck("SH-1002")
    an_order_of("SH-1001")
    for number in ("SH-1002-1-R", "none", "", "' OR 1=1"):
        assert press(finance, "refunds/settle", refund_no=number).status_code == 404
    assert one("SELECT state FROM refund") == "stuck"


def test_list_names_what_waits_for_a_word_and_decides_there(finance: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck("SH-1001")
    settled = stuck("SH-1003")
    stopped(monkeypatch, "SH-1002")
    committed(lambda s: settle_by_hand(s, "SH-1003-1-R", "赵静", now()))
    page = finance.get("/compensations").text
    for shown in ("SH-1001", "SH-1002", "仓库查无货", "520.00 元", "50.00 元", "用户银行卡已注销", "138****5678"):
        assert shown in page, shown
    for hidden in (settled.order.order_no, "13812345678", "王小明"):
        assert hidden not in page
    assert '补偿与退款<b class="count">2</b>' in page
    answer = press(finance, "compensation/decide", "/orders/SH-1002", verdict="approve", **{"from": "list"})
    assert answer.headers["location"] == "/compensations"
    press(finance, "refunds/settle", refund_no=NUMBER, **{"from": "list"})
    page = finance.get("/compensations").text
    assert "没有等待批准的补偿" in page
    assert "没有退不出去的款" in page
    assert 'class="count"' not in page.partition("补偿与退款")[2].partition("</a>")[0]


def test_hold_about_money_is_not_lifted_past_the_decision(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    other, order = stuck("SH-1002"), stopped(monkeypatch)
    with signed_in(portal, "王敏", "admin") as admin:
        assert "已处理,解除" not in admin.get(HERE).text
        press(admin, "release", code="compensation_limit")
        assert "不能直接解除" in said(admin)
        press(admin, "release", "/orders/SH-1002", code="refund_stuck")
        assert "不能直接解除" in said(admin, "/orders/SH-1002")
    assert codes(order) == ["compensation_limit"]
    assert codes(other) == ["refund_stuck"]


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("finance", True),
        ("customer_service_lead", True),
        ("admin", True),
        ("warehouse_supervisor", False),
        ("customer_service", False),
        ("nutritionist", False),
        ("marketing_manager", False),
        ("auditor", False),
    ],
)
def test_role_decides_who_may_move_money(portal: Portal, monkeypatch: pytest.MonkeyPatch, role: str, may: bool) -> None:
    stuck("SH-1003")
    plain, _ = a_check("SH-1002")
    stopped(monkeypatch, "SH-1001")
    with signed_in(portal, "某人", role) as browser:
        assert ('value="approve" class="main"' in browser.get("/compensations").text) == may
        assert ("确认已线下退款" in browser.get("/orders/SH-1003").text) == may
        assert ("确认补偿" in browser.get("/orders/SH-1002").text) == may
        answers = [
            press(browser, "compensation/again", part="1"),
            press(browser, "compensation/decide", verdict="approve"),
            press(browser, "compensate", "/orders/SH-1002", part="1", reason="x"),
            press(browser, "refunds/settle", "/orders/SH-1003", refund_no="SH-1003-1-R"),
        ]
    assert {answer.status_code for answer in answers} == {303 if may else 403}
    assert one("SELECT state FROM refund") == ("by_hand" if may else "stuck")
    assert one("SELECT count(*) FROM compensation WHERE order_id = :id", id=plain.order_id) == may
    assert one("SELECT count(*) FROM compensation WHERE state = 'stopped'") == (0 if may else 1)


@pytest.mark.parametrize("forged", ["missing", "origin"])
def test_form_that_is_not_ours_moves_no_money(finance: Browser, monkeypatch: pytest.MonkeyPatch, forged: str) -> None:
    stuck("SH-1002")
    stopped(monkeypatch)
    fields = {"verdict": "approve", "part": "1", "reason": "x", "refund_no": "SH-1002-1-R"}
    if forged == "origin":
        fields["csrf"] = finance.token("/help")
    headers = {"origin": "https://evil.example"} if forged == "origin" else {}
    for path in ("compensation/decide", "compensation/again", "compensate"):
        assert finance.post(f"{HERE}/{path}", data=fields, headers=headers).status_code == 403
    assert finance.post("/orders/SH-1002/refunds/settle", data=fields, headers=headers).status_code == 403
    assert one("SELECT string_agg(state, ' ' ORDER BY id) FROM compensation") == "due stopped"
    assert one("SELECT state FROM refund") == "stuck"


def test_money_of_an_order_that_does_not_exist_is_404(finance: Browser) -> None:
    for path in ("compensation/decide", "compensation/again", "compensate", "refunds/settle"):
        answer = press(finance, path, "/orders/SH-9", verdict="approve", part="1", reason="x", refund_no="x")
        assert answer.status_code == 404


def test_hostile_words_about_money_are_shown_as_text(finance: Browser) -> None:
    hostile = "<script>alert(1)</script>\"'>{{ 7*7 }}"
    order, _ = a_check()
    compensated(order, reason=hostile)
    a_refund(order, RefundStep.STUCK, hostile)
    for page in (finance.get(HERE).text, finance.get("/compensations").text):
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page
        assert "{{ 7*7 }}" in page
