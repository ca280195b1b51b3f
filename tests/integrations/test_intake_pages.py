"""The page that shows whether every order is here: what it says of shops, gaps and pushes, and who may explain."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlmodel import Session, select

from integrations.portal.people import MAY
from models import hint, window
from models.hint import Hint, Pushed
from models.settings import settings
from models.window import PullWindow, Why, WindowState
from models.window_history import Happened, WindowEvent
from tests.integrations.portal_server import Browser, Portal, committed, now, running_portal, signed_in

SHOP = ("shopify", "pets")
QUARTER = timedelta(minutes=15)


@pytest.fixture
def portal(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    """A portal of a house that has read nothing."""
    with running_portal(database_url, monkeypatch) as running:
        yield running


@pytest.fixture
def browser(portal: Portal) -> Iterator[Browser]:
    """A browser of a customer service lead."""
    with signed_in(portal, role="customer_service_lead") as browsing:
        yield browsing


def read(
    told: int,
    missing: tuple[str, ...] = (),
    *,
    ago: timedelta = timedelta(minutes=1),
    channel: str = "shopify",
    why: Why = Why.PULL,
) -> int:
    """A window that ended so long ago, in which the platform counted `told` orders; its number."""

    def work(session: Session) -> int:
        until = now() - ago
        row = window.begin(session, channel, SHOP[1], until - QUARTER, until, why, until)
        assert row.id is not None
        window.end(session, row.id, told, told - len(missing), missing, 0, {}, until)
        if why is Why.PULL:
            window.mark_read(session, channel, SHOP[1], until, {}, until)
        return row.id

    return committed(work)


def pushed(seconds: float | None, *, given_up: bool = False) -> None:
    """A push of an order that was read so many seconds later; None: it waits, or was given up."""

    def work(session: Session) -> None:
        name = f"delivery-{seconds}-{given_up}"
        hint.keep(session, *SHOP, [Pushed(name, "orders/create", "1")], b"", now())
        row = session.exec(select(Hint).where(Hint.delivery_id == name)).one()
        if seconds is not None:
            hint.heard(session, [row.id or 0], "fetched", row.received_at + timedelta(seconds=seconds))
        elif given_up:
            row.state = "given_up"

    committed(work)


def card(page: str, channel: str = "Shopify") -> str:
    """What the page says of one shop."""
    return page.split('class="shops"')[1].split(f"<h2>{channel} ")[1].split("</section>")[0]


def test_without_a_channel_the_page_says_what_to_do(browser: Browser) -> None:
    page = browser.get("/intake").text
    assert "还没有接好任何渠道" in page
    assert "还没有读过任何窗口" in page
    assert "微信小店、抖店" in page.split("还没有接:")[1]


def test_a_channel_that_is_half_set_up_says_what_is_lacking(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERLOOM_DOUYIN__APP_KEY", "1")
    monkeypatch.setenv("ORDERLOOM_SHOPIFY__SHOP", "pets")
    monkeypatch.setenv("ORDERLOOM_SHOPIFY__ACCESS_TOKEN", "shpat_1")
    settings.cache_clear()
    page = browser.get("/intake").text
    assert "<code>douyin.app_secret</code>" in page
    # and one that is connected, but was not read yet, has a card that says what pushes need
    assert "还没有读过" in card(page)
    assert "<code>shopify.client_secret</code> <code>public_url</code>" in card(page)


def test_a_shop_shows_how_far_it_is_read_and_that_nothing_is_missing(browser: Browser) -> None:
    read(12, ago=timedelta(minutes=3))
    said = card(browser.get("/intake").text)
    assert "正常" in said
    assert "3 分钟前" in said
    assert "平台 12 · 我们有 12 · 不缺" in said


def test_a_shop_that_was_not_read_for_over_twenty_minutes_is_late(browser: Browser) -> None:
    read(1, ago=timedelta(minutes=19))
    assert 'class="late"' not in card(browser.get("/intake").text)
    committed(lambda s: s.get_one(window.PullMark, SHOP).sqlmodel_update({"until": now() - timedelta(minutes=21)}))
    said = card(browser.get("/intake").text)
    assert "超过 20 分钟没有读" in said
    assert '<small class="late">21 分钟前' in said


def test_the_last_error_is_told_without_a_phone_number_in_it(browser: Browser) -> None:
    error = "shopify 401: <b>Invalid token</b> of 13812345678"
    committed(lambda s: window.mark_failed(s, *SHOP, error, now() - QUARTER, now()))
    page = browser.get("/intake").text
    assert "最近一次没有拉成" in card(page)
    assert "&lt;b&gt;Invalid token" in card(page)
    assert "13812345678" not in page
    assert "<b>Invalid" not in page


def test_pushes_are_counted_and_timed(browser: Browser) -> None:
    read(1)
    for seconds in (1.0, 2.0, 9.0):
        pushed(seconds)
    pushed(None)
    pushed(None, given_up=True)
    said = card(browser.get("/intake").text)
    assert "今天 5 条,到入库中位 2.0 秒" in said
    assert "1 条等着" in said
    assert "1 条取不到,由拉单补上" in said


def test_the_chart_has_a_bar_for_each_hour_with_orders_and_shows_what_is_missing(browser: Browser) -> None:
    read(8)
    read(4, ("5",), ago=timedelta(hours=2))
    read(9, why=Why.BACKFILL)  # reading the past again is no order of this hour
    chart = card(browser.get("/intake").text).split("<svg")[1].split("</svg>")[0]
    assert "平台计数 12,我们有 11" in chart
    assert chart.count('class="told"') == chart.count('class="held"') == 2
    assert 'height="64.0"' in chart and 'y="46.0"' in chart  # of 8 the highest, of 4 half as high
    assert "平台 4,我们有 3" in chart


def test_a_gap_names_its_orders_and_is_counted_in_the_menu(browser: Browser) -> None:
    many = tuple(f"55{number:02}" for number in range(25))
    read(30, many)
    page = browser.get("/intake").text
    assert '渠道核对<b class="count">1</b>' in page
    assert all(f"<code>{id}</code>" in page for id in many)
    assert "其余 5 单" in page
    assert "缺 25" in page
    assert "有缺口" in card(page)


def test_a_lead_explains_a_gap_and_the_reason_is_kept_under_their_name(browser: Browser) -> None:
    id = read(2, ("77",))
    done = browser.send_form("/intake", f"/intake/{id}", reason="买家在平台删除了订单 <i>")
    assert done.status_code == 303
    page = browser.get("/intake").text
    assert "已记下核对的结果" in page
    assert 'id="gaps"' not in page
    assert 'class="count"' not in page.split("渠道核对")[1].split("</a>")[0]
    # the window's row says who, and why
    assert "缺口已有解释" in page
    assert "王敏 核对:买家在平台删除了订单 &lt;i&gt;" in page
    assert state_of(id) == WindowState.EXPLAINED
    kinds = committed(lambda s: [event.kind for event in s.exec(select(WindowEvent))])
    assert kinds == [Happened.READ, Happened.EXPLAINED]
    # and it is not pulled again
    assert committed(lambda s: window.due_gaps(s, *SHOP, now() + timedelta(days=1))) == []
    # pressed once more (from a page that was open), nothing happens
    again = browser.send_form("/quarantine", f"/intake/{id}", reason="再一次")
    assert again.headers["location"] == "/intake"
    assert "没有任何改变" in browser.get("/intake").text
    assert committed(lambda s: len(list(s.exec(select(WindowEvent))))) == 2


@pytest.mark.parametrize("reason", ["", "   ", "长" * 201])
def test_a_gap_is_not_explained_without_a_reason(browser: Browser, reason: str) -> None:
    id = read(2, ("77",))
    assert browser.send_form("/intake", f"/intake/{id}", reason=reason).status_code == 400
    assert state_of(id) == WindowState.GAP


@pytest.mark.parametrize(
    "role", sorted({"customer_service", "warehouse_supervisor", "nutritionist", "finance", "auditor"})
)
def test_others_see_a_gap_and_cannot_explain_it(portal: Portal, role: str) -> None:
    id = read(2, ("77",))
    with signed_in(portal, "某人", role) as other:
        page = other.get("/intake").text
        assert "<code>77</code>" in page
        assert "已核对" not in page
        assert "由客服主管或管理员核对" in page
        answer = other.send_form("/quarantine", f"/intake/{id}", reason="没事")
        assert answer.status_code == 403
        assert "客服主管" in answer.text
    assert state_of(id) == WindowState.GAP


@pytest.mark.parametrize("id", ["99", str(2**63)])
def test_a_gap_that_is_not_there_changes_nothing(browser: Browser, id: str) -> None:
    read(2, ("77",))
    assert browser.send_form("/intake", f"/intake/{id}", reason="没事").status_code == 303
    assert "没有任何改变" in browser.get("/intake").text


def test_a_gap_that_closes_by_itself_keeps_its_history(browser: Browser) -> None:
    id = read(2, ("77",))
    committed(lambda s: window.fail(s, id, "douyin 500: busy", now()))
    committed(lambda s: window.end(s, id, 2, 2, (), 1, {}, now()))
    page = browser.get("/intake").text
    assert 'id="gaps"' not in page
    history = page.split("最近的窗口</h2>")[1]
    for said in ("平台 2,我们有 1,还缺 1", "没有读完:douyin 500: busy", "平台 2,我们有 2,按单号补取 1,齐全"):
        assert said in history


def test_what_platforms_name_stays_text(browser: Browser) -> None:
    read(2, ("<script>alert(1)</script>",))
    page = browser.get("/intake").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


def test_nobody_sees_it_without_signing_in(portal: Portal) -> None:
    with Browser(portal) as stranger:
        assert stranger.get("/intake").headers["location"] == "/sign-in?next=%2Fintake"
        assert stranger.post("/intake/1", data={"reason": "x"}).headers["location"] == "/sign-in"


def test_the_help_page_names_everything_that_a_role_may_do(browser: Browser) -> None:
    page = browser.get("/help")
    assert page.status_code == 200
    assert "核对渠道订单的缺口" in page.text
    assert page.text.count("<div><dt>") >= len(MAY)


def state_of(id: int) -> str:
    """What is known of a window now."""
    return committed(lambda s: s.get_one(PullWindow, id).state)
