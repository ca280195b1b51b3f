"""`explain` has words for everything that an order can be or wait for, in both languages, and no personal data."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlmodel import Session

from models import effect, hold
from models.book import take_orders
from models.cancellation import request_cancellation
from models.effect import SMS, WAYBILL, EffectState
from models.explain import explain, wait_of
from models.fulfilment import Stage, WaitingOn
from models.intake import Unreadable
from models.lane import register
from models.order import find_order
from models.privacy import seal
from models.review import Verdict, decide, latest_case
from models.window import mark_failed, mark_read
from models.wording import STAGE_WORDS
from tests.models.build import (
    NOW,
    RECEIVER,
    cans,
    claimed,
    incoming,
    later,
    made,
    open_shop,
    release,
    taken,
    unpaid,
    waiting,
    walk,
)


def test_a_waiting_order_says_why_who_how_and_when(session: Session) -> None:
    open_shop(session)
    for reason in WaitingOn:
        order_no = taken(session, incoming(reason.value)).order_no
        waiting(session, find_order(session, order_no), reason, f"因为 {reason}")

        chinese = explain(session, order_no, NOW + timedelta(minutes=1)).text
        english = explain(session, order_no, NOW + timedelta(minutes=1), "en").text

        wait = wait_of(Stage.RECEIVED, reason)
        for part, told in ((0, chinese), (1, english)):
            for said in (wait.means, wait.move, wait.wakes):
                assert said[part].format(order_no=order_no) in told
            assert f"因为 {reason}" in told
            assert "11-11 13:00" in told  # an hour after noon in Shanghai
        assert "谁来推动" in chinese and "Who can move it" in english
        assert "None" not in chinese + english and "{" not in chinese + english


@pytest.mark.parametrize("stage", [Stage.RESERVED, Stage.PRODUCED, Stage.DELIVERED])
def test_the_history_is_told_in_local_time(session: Session, stage: Stage) -> None:
    open_shop(session)
    walk(session, taken(session, incoming("1", made())).order_no, stage)

    told = explain(session, "SH-1001", NOW).lines

    assert told[0] == "订单 SH-1001(Shopify #1),11-11 11:50 下单,99.00 元,1 行商品。"
    assert told[1:4] == ("发生过什么:", "- 11-11 12:00 从渠道接单 #1", "- 11-11 12:00 付款已核实")
    assert f"- SH-1001-1:{STAGE_WORDS[stage][0]}(自 11-11 12:00)" in told


def test_a_ready_order_that_nobody_takes_says_that_the_lane_seems_not_to_run(session: Session) -> None:
    open_shop(session)
    taken(session, incoming("1"))

    soon = explain(session, "SH-1001", NOW + timedelta(seconds=30)).text
    late = explain(session, "SH-1001", NOW + timedelta(minutes=17)).text

    assert "马上会被处理" in soon
    assert "已就绪 17 分钟却没有人处理" in late and "orderloom up" in late
    assert "orderloom rerun SH-1001" in late
    lane = register(session, "lane-1", 1, "host", NOW)
    assert "`orderloom status`" in explain(session, "SH-1001", NOW + timedelta(minutes=17)).text
    lane.paused = True
    assert "暂停了" in explain(session, "SH-1001", NOW + timedelta(minutes=17)).text


def test_an_order_being_worked_on_names_who_has_it(session: Session) -> None:
    open_shop(session)
    claimed(session, taken(session, incoming("1")))

    assert "正在由 test-lane 处理,最迟 11-11 12:02 交还" in explain(session, "SH-1001", NOW).text
    assert "test-lane works on it until 11-11 12:02" in explain(session, "SH-1001", NOW, "en").text


def test_a_review_names_the_form_the_due_time_and_the_answer(session: Session) -> None:
    open_shop(session)
    order = taken(session, incoming("1", made(8)))
    claim = waiting(session, order, WaitingOn.REVIEW, "金额 792.00 元")

    open_ = explain(session, "SH-1001", NOW + timedelta(minutes=30)).text
    case = latest_case(session, claim.fulfilment_id)
    assert case is not None and case.id is not None
    decide(session, case.id, Verdict.REJECT, "李营养", "配方不合适", NOW + timedelta(minutes=31))
    decided = explain(session, "SH-1001", NOW + timedelta(minutes=32)).text

    assert "审核待决定,请在 11-11 12:22 前:金额 792.00 元(已超时 8 分钟)" in open_
    assert "Resume" in open_
    assert "审核已由 李营养 于 11-11 12:31 决定:拒绝并取消" in decided
    assert "审核结论:拒绝并取消 配方不合适" in decided


def test_holds_say_who_releases_them_and_how(session: Session) -> None:
    open_shop(session)
    order = taken(session, incoming("1"))
    assert order.id is not None
    for code in ("refused_sf_express", "reviewer_asks_7", "keeps_failing", "something_new"):
        hold.place(
            session, order.id, code, f"原因 {code}", "客服", "这样解除", "test", NOW, blocking=code != "keeps_failing"
        )

    chinese, english = explain(session, "SH-1001", NOW).text, explain(session, "SH-1001", NOW, "en").text

    assert "暂停(11-11 12:00):原因 something_new。由客服处理:这样解除。" in chinese
    assert "提醒(11-11 12:00):原因 keeps_failing" in chinese
    assert "On hold (refused_sf_express, 11-11 12:00): a platform has refused it." in english
    assert "On hold (reviewer_asks_7, 11-11 12:00): the reviewer asks the customer." in english
    assert "On hold (something_new, 11-11 12:00): 原因 something_new. For 客服: 这样解除." in english


def test_effects_that_are_not_done_say_what_will_happen(session: Session) -> None:
    open_shop(session)
    claim = claimed(session, taken(session, incoming("1")))
    ids = {"order_id": claim.order_id, "fulfilment_id": claim.fulfilment_id}
    waybill = effect.begin(session, WAYBILL, "waybill-SH-1001-1", seal("{}"), NOW, **ids)
    sms = effect.begin(session, SMS, "sms-SH-1001-1", seal("{}"), NOW, **ids)
    assert isinstance(waybill, effect.Attempt) and isinstance(sms, effect.Attempt)

    busy = explain(session, "SH-1001", NOW).text
    abandoned = explain(session, "SH-1001", NOW + timedelta(minutes=5)).text
    effect.failed(session, waybill, EffectState.REFUSED, "电话 13812345678 无效", NOW)
    effect.failed(session, sms, EffectState.UNCLEAR, "time-out", NOW)
    failed = explain(session, "SH-1001", NOW).text

    assert "出运单 (waybill-SH-1001-1): 正在进行,最迟 11-11 12:00 有结果" in busy
    assert "做这一步的进程没有回来" in abandoned
    assert "被对方拒绝:电话 138****5678 无效" in failed
    assert "不知道对方收到没有" in failed


def test_a_cancellation_and_the_factory_are_told(session: Session) -> None:
    open_shop(session)
    order = taken(session, incoming("1", made()))
    walk(session, order.order_no, Stage.APPROVED)
    release(session, claimed(session, order, NOW + timedelta(minutes=1)))
    request_cancellation(session, order, "不想要了", "客服", NOW)

    told = explain(session, "SH-1001", NOW).text

    assert "- 11-11 12:00 要求取消:不想要了" in told
    assert "- 工单 SH-1001-1-1:已下发,预计 11-11 16:00 完成" in told


def test_an_order_is_explained_by_any_of_its_names(session: Session) -> None:
    open_shop(session)
    taken(session, unpaid("1"))

    for asked in ("id-1", "#1", "sh-1001", " SH-1001 "):
        told = explain(session, asked, NOW)
        assert (told.found, told.order_no) == (True, "SH-1001")
        assert "平台还没有确认付款" in told.text


def test_one_name_of_two_orders_asks_which(session: Session) -> None:
    open_shop(session)
    taken(session, incoming("1"))
    taken(session, incoming("2", channel_order_name="#1"))

    told = explain(session, "#1", NOW)

    assert told.found and told.lines == ("有 2 个订单叫 #1:SH-1002、SH-1001。请用订单号再查。",)


@pytest.mark.parametrize("asked", ["id-7", "#7"])
def test_an_order_in_quarantine_says_what_is_wrong(session: Session, asked: str) -> None:
    open_shop(session)
    take_orders(session, [incoming("7", cans(sku="NEW-SKU"))], NOW)

    chinese, english = explain(session, asked, NOW), explain(session, asked, NOW, "en")

    assert chinese.found and english.found
    assert "Shopify 订单 id-7 的这个版本被隔离" in chinese.text and "NEW-SKU" in chinese.text
    assert "a SKU that is not in the catalogue" in english.text and "next pull" in english.text


def test_a_known_order_with_a_bad_newer_version_tells_both(session: Session) -> None:
    open_shop(session)
    good = incoming("1")
    taken(session, good)
    take_orders(session, [later(good, receiver=None)], NOW)

    told = explain(session, "SH-1001", NOW).text

    assert "马上会被处理" in told and "没有收货地址" in told


def test_an_unreadable_order_is_explained(session: Session) -> None:
    take_orders(session, [Unreadable("douyin", "pets", "D-1", "phone is '13812345678'", {"order_id": "D-1"})], NOW)

    told = explain(session, "D-1", NOW).text

    assert "抖店 订单 D-1" in told and "138****5678" in told
    assert "13812345678" not in told


def test_an_unknown_order_says_how_far_channels_were_read(session: Session) -> None:
    mark_read(session, "shopify", "pets", NOW, {}, NOW)
    mark_failed(session, "douyin", "pets", "HTTP 503", NOW - timedelta(hours=1), NOW)

    told = explain(session, "SH-404", NOW)

    assert not told.found
    assert told.lines[0].startswith("没有订单 'SH-404'")
    assert told.lines[1:] == (
        "- 抖店 已读到 11-11 11:00;之后的订单等下一次拉单。 HTTP 503",
        "- Shopify 已读到 11-11 12:00;之后的订单等下一次拉单。",
    )


def test_hostile_numbers_are_unknown(session: Session) -> None:
    for asked in ("", "   ", "\x00", "\ud83d", "'; DROP TABLE orders; --", "长" * 20_000):
        told = explain(session, asked, NOW)

        assert not told.found
        told.text.encode()
        assert len(told.text) < 300


def test_no_explanation_names_the_customer(session: Session) -> None:
    open_shop(session)
    order = taken(session, incoming("1", note="电话 13812345678", attributes={"phone": "13812345678"}))
    walk(session, order.order_no, Stage.SHIPPED)

    for language in ("zh", "en"):
        told = explain(session, "SH-1001", NOW, language).text
        assert not any(secret in told for secret in (RECEIVER.name, RECEIVER.phone, RECEIVER.detail))


def test_a_long_history_is_cut_at_its_beginning(session: Session) -> None:
    open_shop(session)
    order = taken(session, incoming("1"))
    session.execute(
        text(
            "INSERT INTO order_event (order_id, at, actor, kind, detail)"
            " SELECT :id, :at, 'x', 'waits', '{\"why\": \"再等\"}' FROM generate_series(1, 100)"
        ),
        {"id": order.id, "at": NOW},
    )

    told = explain(session, "SH-1001", NOW).lines

    assert told[2] == "- (更早的 61 条略)"
    assert sum("再等" in line for line in told) == 40
