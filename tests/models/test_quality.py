"""Every bad input is named in Chinese, set aside alone, and stops nobody else."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlmodel import Session, select

from models.book import Taken, take_orders
from models.intake import IncomingOrder, PlatformStatus
from models.order import Order
from models.order_row import line_rows, order_row
from models.product import Product
from models.quality import MOST_FEN, RULES, Fault, judge, plain
from models.quarantine import Quarantined, waiting_list
from tests.models.build import CAN, DRY, NOW, RECEIVER, cans, incoming, later, made, open_shop, taken, unpaid

CATALOGUE = {
    CAN: Product(sku=CAN, title="猫罐头", weight_g=400),
    DRY: Product(sku=DRY, title="定制犬粮", weight_g=1500, made_to_order=True),
}
CHINESE = re.compile("[\u4e00-\u9fff]")


def at(**changes: Any) -> IncomingOrder:
    """An order whose receiver differs."""
    return incoming("bad", receiver=replace(RECEIVER, **changes))


BAD: dict[str, tuple[IncomingOrder, str]] = {
    "unknown SKU": (incoming("bad", cans(sku="NO-SUCH-SKU")), "unknown_sku"),
    "SKU with NUL": (incoming("bad", cans(sku="A\x00B")), "control_characters"),
    "SKU with a lone surrogate": (incoming("bad", cans(sku="A\ud83d")), "control_characters"),
    "negative quantity": (incoming("bad", cans(-3)), "bad_quantity"),
    "zero quantity": (incoming("bad", cans(0)), "bad_quantity"),
    "absurd quantity": (incoming("bad", cans(10**9)), "bad_quantity"),
    "money that does not add up": (incoming("bad", total_fen=12_345, paid_fen=12_345), "money_mismatch"),
    "paid less than the total": (incoming("bad", paid_fen=1), "money_mismatch"),
    "negative money": (incoming("bad", cans(paid_fen=-100)), "negative_money"),
    "negative freight": (incoming("bad", freight_fen=-100), "negative_money"),
    "money beyond a column": (incoming("bad", cans(unit_price_fen=10**30, paid_fen=4_000)), "negative_money"),
    "discount beyond a column": (incoming("bad", discount_fen=10**30), "negative_money"),
    "paid beyond a column, unpaid": (unpaid("bad", paid_fen=10**30), "negative_money"),
    "foreign currency": (incoming("bad", currency="USD"), "currency"),
    "no lines": (incoming("bad", lines=(), total_fen=0, paid_fen=0), "no_lines"),
    "too many lines": (incoming("bad", *[cans(1)] * 501), "too_many_lines"),
    "ordered in the future": (incoming("bad", placed_at=NOW + timedelta(hours=1)), "time_in_future"),
    "no id": (incoming("bad", channel_order_id=""), "id_missing"),
    "endless id": (incoming("bad", channel_order_id="9" * 20_000), "id_missing"),
    "id with NUL": (incoming("bad", channel_order_id="1\x002"), "control_characters"),
    "no address": (incoming("bad", receiver=None), "address_missing"),
    "blank name": (at(name="  "), "address_missing"),
    "no phone": (at(phone=""), "address_missing"),
    "no street": (at(detail=""), "address_missing"),
    "20,000-character name": (at(name="名" * 20_000), "text_too_long"),
    "20,000-character street": (at(detail="长" * 20_000), "text_too_long"),
    "20,000-character title": (incoming("bad", cans(title="长" * 20_000)), "text_too_long"),
    "20,000-character note": (incoming("bad", note="长" * 20_000), "text_too_long"),
    "20,000-character answer": (incoming("bad", made(pet={"breed": "长" * 20_000})), "text_too_long"),
    "emoji in the name": (at(name="小明🐶"), "emoji"),
    "joined emoji in the street": (at(detail="3 栋 👨‍👩‍👧"), "emoji"),
    "control character in the street": (at(detail="3 栋\x1b[31m"), "control_characters"),
    "NUL in the name": (at(name="王\x00明"), "control_characters"),
    "lone surrogate in the name": (at(name="王\ud83d"), "control_characters"),
    "NUL in the note": (incoming("bad", note="请\x00快"), "control_characters"),
    "NUL in an answer": (incoming("bad", made(pet={"breed": "柯基\x00"})), "control_characters"),
    "NUL in the name of an answer": (incoming("bad", attributes={"a\x00": "1"}), "control_characters"),
    "lone surrogate in an attribute": (incoming("bad", attributes={"gift": "\ud83d"}), "control_characters"),
    "NUL deep in a handle": (incoming("bad", handles={"ids": [{"id": "gid\x00"}]}), "control_characters"),
    "NUL in the buyer": (incoming("bad", buyer="\x00"), "control_characters"),
    "less than nothing cancelled": (incoming("bad", cans(cancelled_quantity=-1)), "bad_quantity"),
    "more cancelled than bought": (incoming("bad", cans(2, cancelled_quantity=3)), "bad_quantity"),
    "half a can": (incoming("bad", cans(quantity=1.5)), "bad_quantity"),
    "a true number of cans": (incoming("bad", cans(quantity=True)), "bad_quantity"),
    "a price that is not a number": (incoming("bad", cans(unit_price_fen=math.nan)), "negative_money"),
    "a total that is not a number": (incoming("bad", total_fen=math.nan), "negative_money"),
    "paid back less than nothing": (incoming("bad", refunded_fen=-1), "refund_mismatch"),
    "paid back more than paid": (incoming("bad", refunded_fen=4_001), "refund_mismatch"),
    "less than what was taken away explains": (
        incoming("bad", cans(2, cancelled_quantity=1), total_fen=1_999, paid_fen=1_999),
        "money_mismatch",
    ),
    "more than what was bought": (incoming("bad", refunded_fen=500, total_fen=4_500, paid_fen=4_500), "money_mismatch"),
}


@pytest.mark.parametrize(("order", "code"), BAD.values(), ids=list(BAD))
def test_a_bad_order_has_a_code_and_a_chinese_sentence(order: IncomingOrder, code: str) -> None:
    faults = judge(order, CATALOGUE, NOW)

    assert code in {fault.code for fault in faults}
    assert all(CHINESE.search(fault.message) and len(fault.message) < 200 for fault in faults)


def bad_page() -> list[IncomingOrder]:
    """All the bad orders, each with an id of its own unless the id is what is bad."""
    told = [replace(order, raw={"n": n}) for n, (order, _) in enumerate(BAD.values())]
    own = [replace(order, channel_order_id=f"bad-{n}") for n, order in enumerate(told)]
    return [new if old.channel_order_id == "id-bad" else old for old, new in zip(told, own, strict=True)]


def test_bad_orders_are_set_aside_and_the_others_on_the_page_enter(session: Session) -> None:
    open_shop(session)
    bad = bad_page()
    good = [incoming(f"good-{n}") for n in range(5)]

    counts = take_orders(session, [*bad[:20], *good, *bad[20:]], NOW)
    session.commit()

    assert counts == {Taken.QUARANTINED: len(BAD), Taken.NEW: 5}
    assert session.execute(text("SELECT count(*) FROM orders")).scalar_one() == 5
    aside = waiting_list(session)
    assert len(aside) == len(BAD)  # no two share a row, with or without an id
    assert all(row.faults and CHINESE.search(row.faults[0]["message"]) for row in aside)


def test_the_same_bad_page_again_only_counts(session: Session) -> None:
    open_shop(session)
    page = bad_page()
    take_orders(session, page, NOW)

    take_orders(session, page, NOW + timedelta(minutes=15))

    rows = session.exec(select(Quarantined)).all()
    assert len(rows) == len(page)
    assert {(row.times, row.first_at, row.last_at) for row in rows} == {(2, NOW, NOW + timedelta(minutes=15))}


@pytest.mark.parametrize(
    "order",
    [
        incoming("1"),
        incoming("1", cans(), made(), freight_fen=800),
        unpaid("1"),
        incoming("1", note="谢谢 🐶\n周末送"),
        incoming("1", cans(paid_fen=0)),
        incoming("1", status=PlatformStatus.HELD, paid_fen=0),
        at(detail="3 栋 1201(近南门)"),
        at(district=""),
        at(name="𠮷田", phone="+86 138 1234 5678"),
        incoming("1", cans(unit_price_fen=MOST_FEN, paid_fen=MOST_FEN)),
        incoming("1", placed_at=NOW + timedelta(minutes=15)),
        # one of two cans edited away, and what it cost paid back: platforms differ in what they count it off
        incoming("1", cans(2, cancelled_quantity=1)),
        incoming("1", cans(2, cancelled_quantity=1), refunded_fen=2_000),
        incoming("1", cans(2, cancelled_quantity=1), refunded_fen=2_000, total_fen=2_000),
        incoming("1", cans(2, cancelled_quantity=1), refunded_fen=2_000, paid_fen=2_000),
        incoming("1", cans(2, cancelled_quantity=1), total_fen=2_000, paid_fen=2_000),
        incoming("1", cans(3, paid_fen=1_000, cancelled_quantity=1), total_fen=666, paid_fen=666),
        incoming("1", refunded_fen=300),
        incoming("1", refunded_fen=4_000),
    ],
)
def test_a_sound_order_has_no_fault(order: IncomingOrder) -> None:
    assert judge(order, CATALOGUE, NOW) == []


def test_what_may_be_off_is_no_more_than_what_was_taken_away() -> None:
    edited = incoming("1", cans(2, cancelled_quantity=1), refunded_fen=500)
    codes = {
        total: [fault.code for fault in judge(replace(edited, total_fen=total, paid_fen=4_000), CATALOGUE, NOW)]
        for total in (1_499, 1_500, 4_000, 4_001)
    }

    assert codes == {1_499: ["money_mismatch"] * 2, 1_500: [], 4_000: [], 4_001: ["money_mismatch"]}


def test_every_rule_reads_columns_that_there_are_and_no_two_ask_the_same() -> None:
    order = incoming("1", cans(), receiver=RECEIVER)
    rows = {"order": order_row(order, NOW), "line": next(line_rows(order, CATALOGUE))}

    for rule in RULES:
        assert rows[rule.about].keys() >= {rule.column, rule.check.against or rule.column}
        assert CHINESE.search(rule.fault(rows[rule.about]).message)
    assert len({(rule.about, rule.column, rule.check) for rule in RULES}) == len(RULES)
    assert {fault.code for order, _ in BAD.values() for fault in judge(order, CATALOGUE, NOW)} == {
        rule.code for rule in RULES
    }


ANY_TEXT = st.text(st.characters(codec=None), max_size=40)


@settings(max_examples=200, deadline=None)
@given(ANY_TEXT)
def test_plain_text_can_be_stored_and_the_rest_is_named(value: str) -> None:
    faults = judge(incoming("x", attributes={"answer": value}), CATALOGUE, NOW)

    assert (faults == []) == plain(value)
    if plain(value):
        assert "\x00" not in value
        value.encode()
    else:
        assert faults == [Fault("control_characters", "订单文字里有控制字符。")]


def test_whatever_is_plain_enters_the_book(session: Session) -> None:
    open_shop(session)
    session.commit()
    number = iter(range(10_000))

    @settings(max_examples=60, deadline=None)
    @given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
    def enter(name: str, note: str, answer: str) -> None:
        order = incoming(
            f"h{next(number)}", made(pet={"breed": answer}), receiver=replace(RECEIVER, name=name), note=note
        )
        (outcome,) = take_orders(session, [order], NOW)
        assert outcome is (Taken.QUARANTINED if judge(order, CATALOGUE, NOW) else Taken.NEW)

    enter()
    session.commit()


def test_a_good_version_resolves_and_a_late_bad_one_changes_nothing(session: Session) -> None:
    open_shop(session)
    bad = incoming("1", receiver=None)
    take_orders(session, [bad], NOW)
    good = later(bad, receiver=RECEIVER)

    order = taken(session, good)
    assert waiting_list(session) == []
    assert take_orders(session, [bad, good], NOW) == {Taken.KNOWN: 2}
    assert waiting_list(session) == []
    assert session.exec(select(Order.order_no)).all() == [order.order_no]


def test_a_good_version_of_a_known_order_resolves_too(session: Session) -> None:
    open_shop(session)
    order = incoming("1")
    taken(session, order)
    take_orders(session, [later(order, 5, currency="USD")], NOW)
    assert len(waiting_list(session)) == 1

    take_orders(session, [order], NOW)
    assert len(waiting_list(session)) == 1  # old news says nothing of the newer version
    take_orders(session, [later(order, 10)], NOW)
    assert waiting_list(session) == []


def test_a_missing_product_that_is_added_lets_the_order_in(session: Session) -> None:
    open_shop(session)
    order = incoming("1", cans(sku="NEW"))
    assert take_orders(session, [order], NOW) == {Taken.QUARANTINED: 1}

    session.add(Product(sku="NEW", title="新品"))
    session.flush()

    assert take_orders(session, [order], NOW) == {Taken.NEW: 1}
    assert waiting_list(session) == []


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (
            incoming("bad", total_fen=12_345, paid_fen=12_345),
            "各行实付 40.00 元加运费 0.00 元,不等于订单总额 123.45 元。",
        ),
        (incoming("bad", paid_fen=1), "应付 40.00 元,实付 0.01 元,两者不等。"),
        (incoming("bad", refunded_fen=400_001), "已退 4,000.01 元,比实付的 40.00 元还多。"),
    ],
    ids=["lines", "paid", "refunded"],
)
def test_money_is_told_in_yuan(order: IncomingOrder, said: str) -> None:
    messages = [fault.message for fault in judge(order, CATALOGUE, NOW)]

    assert said in messages


def test_no_reason_speaks_of_fen() -> None:
    assert [rule.message for rule in RULES if " 分" in rule.message or "整数分" in rule.message] == []
