"""A customer's order link over real HTTP: what it shows, what it never shows, and cancelling before it ships."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from sqlmodel import Session

from models.backorder import wait_for
from models.coupon import issue
from models.customer_link import LINK_DAYS, token_for
from models.order import Order
from models.refund import RefundStep
from models.timeline import EventKind
from tests.integrations.portal_money import a_check, a_refund, compensated, paid
from tests.integrations.portal_server import (
    RECEIVER,
    Portal,
    Seeded,
    an_order_of,
    committed,
    now,
    one,
    running_portal,
    with_parcel,
)

GONE = "这个链接不存在或已过期"


@pytest.fixture
def portal(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    with running_portal(database_url, monkeypatch) as running:
        yield running


class Customer(httpx.Client):
    """Somebody with a phone and a link."""

    def __init__(self, portal: Portal, order: Seeded, days_old: float = 0) -> None:
        super().__init__(base_url=portal.public, trust_env=False, timeout=30)
        made = now() - timedelta(days=days_old)
        self.link = "/o/" + committed(lambda s: token_for(s, order.order_id, made))

    def headline(self) -> str:
        found = re.search(r"<h1[^>]*>([^<]+)</h1>", self.get(self.link).text)
        assert found
        return found[1]

    def form_token(self) -> str:
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', self.get(f"{self.link}/cancel").text)
        return found[1] if found else ""

    def press(self, token: str | None = None, **headers: str) -> httpx.Response:
        fields = {"csrf": self.form_token() if token is None else token}
        return self.post(f"{self.link}/cancel", data=fields, headers=headers)


def requests_for(order: Seeded) -> list[str]:
    return [event.actor for event in order.events(EventKind.CANCEL_REQUESTED)]


def test_page_shows_the_order_and_nothing_of_the_person(portal: Portal) -> None:
    customer = Customer(portal, paid(an_order_of(stage="reserved")))
    page = customer.get(customer.link)
    assert page.status_code == 200
    for shown in ("SH-1001", "鲜食主粮 500g × 2", "正在备货", "取消订单并退款"):
        assert shown in page.text
    for hidden in (RECEIVER.name, RECEIVER.phone, RECEIVER.detail, "科技园", "王", "5678", "南山区", "深圳", "柯基"):
        assert hidden not in page.text
    assert page.headers["cache-control"] == "no-store"
    assert "<script" not in page.text
    assert re.findall(r'(?:src|href)="(?:https?:)?//', page.text) == []


@pytest.mark.parametrize(
    ("stage", "headline", "may_cancel"),
    [
        ("received", "订单已收到", True),
        ("approved", "正在备货", True),
        ("produced", "准备打包", True),
        ("shipped", "已发货", False),
        ("delivered", "已签收", False),
        ("closed", "已完成", False),
        ("cancelled", "订单已取消", False),
        ("refunded", "订单已取消", False),
    ],
)
def test_every_stage_has_its_headline_and_only_what_has_not_shipped_its_button(
    portal: Portal, stage: str, headline: str, may_cancel: bool
) -> None:
    final: dict[str, Any] = {"ready_at": None} if stage in ("closed", "cancelled", "refunded") else {}
    customer = Customer(portal, paid(an_order_of(stage=stage, **final)))
    assert customer.headline() == headline
    assert ("取消订单并退款" in customer.get(customer.link).text) == may_cancel


def test_order_that_waits_for_goods_tells_the_new_date(portal: Portal) -> None:
    order = paid(an_order_of(waiting_on="backorder"))
    day = date(2026, 12, 24)
    committed(lambda s: wait_for(s, order.fulfilment_id, order.order_id, ["FRESH-500"], now(), day, now()))
    customer = Customer(portal, order)
    assert customer.headline() == "正在等货"
    assert "2026-12-24" in customer.get(customer.link).text


def test_parcel_is_one_press_away(portal: Portal) -> None:
    order = paid(an_order_of(stage="shipped"))
    parcel = with_parcel(order)
    customer = Customer(portal, order)
    assert f'href="/t/{parcel.token}"' in customer.get(customer.link).text


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (RefundStep.DUE, "正在办理"),
        (RefundStep.PROCESSING, "等待支付平台到账"),
        (RefundStep.STUCK, "客服正在处理"),
        (RefundStep.PAID, "已原路退回"),
    ],
)
def test_refund_is_shown_with_its_state(portal: Portal, step: RefundStep, words: str) -> None:
    order, _ = a_check()
    compensated(order)
    a_refund(order, step, problem="balance of account 6222 8888")
    customer = Customer(portal, order)
    page = customer.get(customer.link).text
    assert customer.headline() == "正在为您退款"
    assert "520.00 元" in page
    assert words in page
    assert "6222" not in page
    assert "取消订单并退款" not in page


def test_coupon_is_named_without_its_code(portal: Portal) -> None:
    order, _ = a_check()
    row = compensated(order)
    given = committed(lambda s: issue(s, row, s.get_one(Order, order.order_id), now(), 90))
    assert given is not None
    customer = Customer(portal, order)
    page = customer.get(customer.link).text
    assert "50.00 元" in page
    assert given.code not in page
    assert given.code[-4:] not in page


def test_cancelling_takes_two_pages_and_asks_once(portal: Portal) -> None:
    order = paid(an_order_of(stage="reserved", ready_at=now() + timedelta(hours=1)))
    customer = Customer(portal, order)
    asked = customer.get(f"{customer.link}/cancel").text
    assert "确定取消并退款" in asked
    assert "520.00 元会全额原路退回" in asked
    assert requests_for(order) == []
    answer = customer.press()
    assert (answer.status_code, answer.headers["location"]) == (303, customer.link)
    assert customer.headline() == "正在取消订单"
    assert requests_for(order) == ["customer"]
    assert one("SELECT cancel_reason FROM orders") == "客户在订单页取消"
    assert one("SELECT ready_at <= now() AND fence = 1 FROM fulfilment")


def test_second_press_is_told_and_changes_nothing(portal: Portal) -> None:
    order = paid(an_order_of(stage="reserved"))
    customer = Customer(portal, order)
    token = customer.form_token()
    customer.press(token)
    second = customer.press(token)
    assert second.status_code == 409
    assert "订单已经在取消" in second.text
    assert "没有改变任何内容" in second.text
    assert "不用再按" in customer.get(f"{customer.link}/cancel").text
    assert requests_for(order) == ["customer"]
    assert one("SELECT fence FROM fulfilment") == 1


def test_pressing_many_times_at_once_asks_once(portal: Portal) -> None:
    order = paid(an_order_of(stage="reserved"))
    customer = Customer(portal, order)
    token = customer.form_token()
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda _: customer.press(token).status_code, range(8)))
    assert sorted(statuses) == [303] + [409] * 7
    assert requests_for(order) == ["customer"]


@pytest.mark.parametrize("stage", ["shipped", "delivered", "closed", "cancelled", "refunded"])
def test_order_that_shipped_or_ended_meanwhile_is_not_cancelled(portal: Portal, stage: str) -> None:
    order = paid(an_order_of(stage="produced"))
    customer = Customer(portal, order)
    token = customer.form_token()

    def goes_on(session: Session) -> None:
        row = session.get_one(type(order.fulfilment), order.fulfilment_id)
        row.stage, row.ready_at = stage, row.ready_at if stage in ("shipped", "delivered") else None
        session.add(row)

    committed(goes_on)
    answer = customer.press(token)
    assert answer.status_code == 409
    assert "没有改变任何内容" in answer.text
    assert "不能取消" in customer.get(f"{customer.link}/cancel").text
    assert requests_for(order) == []
    assert one("SELECT cancel_requested_at IS NULL FROM orders")
    assert one("SELECT count(*) FROM hold") == 0


def test_compensated_order_is_not_cancelled_besides(portal: Portal) -> None:
    order, _ = a_check()
    customer = Customer(portal, order)
    token = customer.form_token()
    compensated(order)
    assert customer.press(token).status_code == 409
    assert requests_for(order) == []


@pytest.mark.parametrize("forged", ["missing", "empty", "other", "origin"])
def test_form_that_is_not_ours_is_refused_and_changes_nothing(portal: Portal, forged: str) -> None:
    order, other = paid(an_order_of("SH-1001")), paid(an_order_of("SH-1002"), ref="P-2")
    customer, stranger = Customer(portal, order), Customer(portal, other)
    if forged == "origin":
        answer = customer.press(origin="https://evil.example")
    elif forged == "missing":
        answer = customer.post(f"{customer.link}/cancel")
    else:
        answer = customer.press("" if forged == "empty" else stranger.form_token())
    assert answer.status_code == 403
    assert requests_for(order) == []
    assert customer.press(origin=portal.public).status_code == 303


def test_unknown_expired_and_malformed_links_have_the_same_page(portal: Portal) -> None:
    expired = Customer(portal, paid(an_order_of()), days_old=LINK_DAYS + 1)
    wrong = [expired.link, "/o/" + "A" * 24, "/o/x", "/o/" + "A" * 300, "/o/' OR 1=1 --aaaaaaaa"]
    pages = [expired.get(link) for link in wrong]
    assert {page.status_code for page in pages} == {404}
    assert len({page.text for page in pages}) == 1
    assert GONE in pages[0].text
    assert {tuple(sorted(page.headers)) for page in pages} == {tuple(sorted(pages[0].headers))}


def test_expired_link_cancels_nothing(portal: Portal) -> None:
    order = paid(an_order_of())
    customer = Customer(portal, order)
    token = customer.form_token()
    committed(lambda s: s.connection().exec_driver_sql("UPDATE customer_link SET until = now()"))
    assert customer.press(token).status_code == 404
    assert requests_for(order) == []


def test_guessing_links_of_either_kind_is_slowed_down_together(portal: Portal) -> None:
    customer = Customer(portal, paid(an_order_of()))
    assert {customer.get(customer.link).status_code for _ in range(20)} == {200}
    answers = [customer.get(f"/{'ot'[number % 2]}/{number:024}") for number in range(24)]
    assert answers[0].status_code == 404
    assert answers[-1].status_code == 429
    assert [answer.status_code for answer in answers].count(404) < 15
    assert "请稍等" in answers[-1].text


def test_hostile_titles_are_shown_as_text(portal: Portal) -> None:
    hostile = "<script>alert(1)</script>\"'>{{ 7*7 }}"
    customer = Customer(portal, paid(an_order_of(title=hostile)))
    for page in (customer.get(customer.link), customer.get(f"{customer.link}/cancel")):
        assert "&lt;script&gt;alert(1)" in page.text
        assert "<script>alert" not in page.text
        assert "{{ 7*7 }}" in page.text
