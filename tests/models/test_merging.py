"""Who travels with whom, for how long one waits for another, and how they part; also with many lanes at once."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from models import compensation, hold
from models.cancellation import request_cancellation
from models.company import Terms, could_go_with
from models.compensation import Cause
from models.effect import SHIP_NOTICE, WAYBILL, Attempt, EffectBusy, Settled, begin, done
from models.fulfilment import Claim, ClaimLost, Stage, WaitingOn, claim_order, fulfilments_of, hold_on, park
from models.intake import Receiver
from models.merge_desk import MergeRefused, fulfilments_named, merge, unmerge
from models.merging import Company, find_company, seal
from models.order import Contact, Order, OrderUnknown, find_order, keep_contact, lock_order
from models.parcel import Parcel, keep_parcel, parcel_of
from models.parting import called_back, leave
from models.privacy import seal as sealed
from models.shared_parcel import (
    CompanyBusy,
    SharedParcel,
    SharedState,
    company_of,
    lock_shared,
    lock_with_company,
    travellers_of,
)
from models.timeline import timeline
from tests.models.build import NOW, RECEIVER, claimed, engine_of, incoming, open_shop, taken, told, walk
from tests.models.concurrently import in_threads, transaction
from tests.models.stockroom import assert_accounts_agree, limits

TERMS = Terms(timedelta(minutes=60), timedelta(hours=2))
OFF = Terms(timedelta(0), timedelta(hours=2))
MASKED = Receiver("王**", "138****5678", "广东省", "深圳市", "南山区", "科技园***", masked=True)


def ready(session: Session, name: str, **changes: Any) -> Order:
    """A paid order that has come to its waybill."""
    order = taken(session, incoming(name, **changes))
    walk(session, order.order_no, Stage.PRODUCED)
    return order


def on_the_way(session: Session, name: str, **changes: Any) -> Order:
    """A paid order of which nothing is done yet."""
    order = taken(session, incoming(name, **changes))
    order.payment_verified_at = NOW
    session.add(order)
    session.flush()
    return order


def look(session: Session, order: Order, minutes: float = 0, terms: Terms = TERMS) -> Company | None:
    """What a lane finds that has come to the order's waybill."""
    now = NOW + timedelta(minutes=minutes)
    claim = claimed(session, order, now)
    found = find_company(session, claim, terms, now)
    park(session, claim, WaitingOn.RETRY, "测试里停在这里", now + timedelta(hours=1), now=now)
    return found


def id_of(session: Session, order: Order) -> int:
    (part,) = fulfilments_of(session, order.id or 0)
    return part.id or 0


def state(session: Session, order: Order) -> str | None:
    shared = company_of(session, id_of(session, order))
    return None if shared is None else shared.state


def told_of(session: Session, order: Order, kind: str) -> list[dict[str, Any]]:
    return [row.detail for row in timeline(session, order.id or 0) if row.kind == kind]


def test_the_first_waits_for_the_second_and_both_say_with_whom_they_travel(session: Session) -> None:
    open_shop(session)
    one, other = ready(session, "1"), on_the_way(session, "2")

    found = look(session, one)

    assert found is not None and found.waits_for == ("SH-1002-1",)
    assert found.until == NOW + timedelta(minutes=30)
    assert [state(session, order) for order in (one, other)] == ["open", "open"]
    assert told_of(session, one, "merged") == [{"company": ["SH-1002-1"]}]
    assert told_of(session, other, "merged") == [{"company": ["SH-1001-1"]}]
    again = look(session, one, 1)
    assert again is not None and (again.id, again.waits_for) == (found.id, found.waits_for)
    # when the second is ready
    walk(session, other.order_no, Stage.PRODUCED)
    company = look(session, other, 2)
    assert company is not None and company.waits_for == ()
    claim = claimed(session, other, NOW + timedelta(minutes=3))
    assert seal(session, claim, company.id, NOW) is True
    assert seal(session, claim, company.id, NOW) is True
    assert state(session, one) == "sealed"
    assert len(told_of(session, one, "merged")) == 1


def test_three_travel_together_and_a_fourth_that_is_too_far_from_one_of_them_does_not(session: Session) -> None:
    open_shop(session)
    paid = [NOW - timedelta(minutes=minutes) for minutes in (9, 30, 60, 80)]
    orders = [ready(session, str(n), paid_at=at) for n, at in enumerate(paid)]

    found = look(session, orders[1])

    # the first two and the third are within the hour of each other; the fourth is not within that of the first
    assert found is not None and len(travellers_of(session, found.id)) == 3
    assert [state(session, order) for order in orders] == ["open", "open", "open", None]


@pytest.mark.parametrize(("minutes", "together"), [(60, True), (61, False), (-60, True), (-61, False)])
def test_the_window_is_what_the_seller_says(session: Session, minutes: int, together: bool) -> None:
    open_shop(session)
    one = ready(session, "1", paid_at=NOW)
    ready(session, "2", paid_at=NOW + timedelta(minutes=minutes))

    assert (look(session, one) is not None) == together


ELSEWHERE = replace(RECEIVER, detail="别处 1 号")
OTHER_PHONE = replace(RECEIVER, phone="13900000000")


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ({}, {}, True),
        ({}, {"receiver": ELSEWHERE}, False),
        ({}, {"receiver": OTHER_PHONE}, False),
        ({}, {"receiver": replace(RECEIVER, name="王大明")}, True),  # another name at the same door and phone
        ({}, {"buyer": "buyer-2"}, True),  # both addresses are in clear: the same customer
        ({}, {"buyer": "", "channel": "douyin"}, True),
        ({"receiver": MASKED}, {"receiver": MASKED}, True),
        ({"receiver": MASKED}, {"receiver": MASKED, "buyer": "buyer-2"}, False),
        ({"receiver": MASKED, "buyer": ""}, {"receiver": MASKED, "buyer": ""}, False),
        ({"receiver": MASKED}, {"receiver": MASKED, "channel": "douyin"}, False),
        ({"receiver": MASKED}, {"receiver": MASKED, "shop": "other"}, False),
        ({"receiver": MASKED}, {}, False),  # what is under a mask is not known before the waybill
    ],
)
def test_one_customer_is_one_buyer_or_one_address_in_clear(
    session: Session, one: dict[str, Any], other: dict[str, Any], together: bool
) -> None:
    open_shop(session)
    first = ready(session, "1", **one)
    ready(session, "2", **other)

    assert (look(session, first) is not None) == together


def with_waybill(session: Session, order: Order) -> None:
    told(session, claimed(session, order), WAYBILL, f"waybill-{order.order_no}-1", {"waybill_no": "SF1"}, NOW)


def held(session: Session, order: Order) -> None:
    hold.place(session, order.id or 0, "paid_amount_differs", "金额不符", "财务", "核对", "test", NOW)


def reminded(session: Session, order: Order) -> None:
    hold.place(session, order.id or 0, "notify_failed", "发不出", "客服", "打电话", "test", NOW, blocking=False)


def cancelled(session: Session, order: Order) -> None:
    request_cancellation(session, order, "不要了", "客服", NOW)


def made_up_for(session: Session, order: Order) -> None:
    (part,) = fulfilments_of(session, order.id or 0)
    compensation.request(session, part, Cause.BY_HAND, "缺货", "客服", NOW, limits(), by_person=True)


def shipped(session: Session, order: Order) -> None:
    session.execute(text("UPDATE fulfilment SET stage = 'shipped' WHERE order_id = :id"), {"id": order.id})


def from_elsewhere(session: Session, order: Order) -> None:
    session.execute(text("UPDATE fulfilment SET warehouse = 'WH-BJ' WHERE order_id = :id"), {"id": order.id})


def waits_for_goods(session: Session, order: Order) -> None:
    session.execute(text("UPDATE fulfilment SET waiting_on = 'backorder' WHERE order_id = :id"), {"id": order.id})


def unpaid(session: Session, order: Order) -> None:
    session.execute(text("UPDATE orders SET paid_at = NULL WHERE id = :id"), {"id": order.id})


@pytest.mark.parametrize(
    ("happens", "together"),
    [(with_waybill, False), (held, False), (reminded, True), (cancelled, False), (made_up_for, False),
     (shipped, False), (from_elsewhere, False), (waits_for_goods, False), (unpaid, False)],
)  # fmt: skip
def test_nobody_waits_for_who_cannot_come_along(
    session: Session, happens: Callable[[Session, Order], None], together: bool
) -> None:
    open_shop(session)
    one, other = ready(session, "1"), ready(session, "2")
    happens(session, other)
    session.flush()

    assert (look(session, one) is not None) == together


@pytest.mark.parametrize("happens", [with_waybill, held, cancelled, made_up_for, from_elsewhere, waits_for_goods])
def test_who_cannot_come_along_any_more_leaves_and_the_other_goes_alone(
    session: Session, happens: Callable[[Session, Order], None]
) -> None:
    open_shop(session)
    one, other = ready(session, "1"), on_the_way(session, "2")
    look(session, one)
    happens(session, other)
    session.flush()

    assert look(session, one, 1) is None

    assert [state(session, order) for order in (one, other)] == [None, None]
    assert [len(told_of(session, order, "unmerged")) for order in (one, other)] == [1, 1]
    assert look(session, one, 2) is None  # nor is it tried again


def test_switched_off_nobody_is_looked_for(session: Session) -> None:
    open_shop(session)
    one, _ = ready(session, "1"), ready(session, "2")

    assert look(session, one, terms=OFF) is None


def test_nobody_waits_longer_than_the_seller_says(session: Session) -> None:
    open_shop(session)
    one, other = ready(session, "1"), on_the_way(session, "2")
    look(session, one)

    almost = look(session, one, 119)
    assert almost is not None and almost.until == NOW + timedelta(hours=2)
    assert look(session, one, 120) is None
    assert told_of(session, other, "unmerged") == [{"company": ["SH-1001-1"], "reason": "没有等到它备好货"}]


def test_three_of_which_two_are_ready_go_without_the_third(session: Session) -> None:
    open_shop(session)
    one, two, late = ready(session, "1"), ready(session, "2"), on_the_way(session, "3")
    look(session, one)
    look(session, two, 10)

    found = look(session, one, 121)

    assert found is not None and found.waits_for == ()
    assert [one.number for one in travellers_of(session, found.id)] == ["SH-1001-1", "SH-1002-1"]
    assert state(session, late) is None


def test_under_their_masks_two_addresses_turn_out_to_differ(session: Session) -> None:
    open_shop(session)
    orders = [ready(session, str(n), receiver=MASKED) for n in range(3)]
    found = look(session, orders[0])
    assert found is not None
    for order in orders[1:]:
        look(session, order)
    claim = claimed(session, orders[0], NOW + timedelta(minutes=1))
    assert seal(session, claim, found.id, NOW) is False  # masks are not enough to print on a waybill

    for order, clear in zip(orders, (RECEIVER, RECEIVER, ELSEWHERE), strict=True):
        keep_contact(session, clear, session.get_one(Contact, order.contact_id))

    assert seal(session, claim, found.id, NOW) is True
    assert [state(session, order) for order in orders] == ["sealed", "sealed", None]
    assert told_of(session, orders[2], "unmerged")[0]["reason"] == "收货地址变了"


def together(session: Session, *names: str, sealed_too: bool = False) -> tuple[SharedParcel, list[Order]]:
    """Orders in one shared parcel, ready; with a waybill that each has a row of, if `sealed_too`."""
    orders = [ready(session, name) for name in names]
    merge(session, [id_of(session, order) for order in orders], "王敏", NOW)
    for order in orders:
        look(session, order, terms=OFF)
    shared = company_of(session, id_of(session, orders[0]))
    assert shared is not None and shared.id is not None
    if sealed_too:
        claim = claimed(session, orders[0], NOW + timedelta(minutes=1))
        assert seal(session, claim, shared.id, NOW)
        waybill(session, claim, shared.id)
    return shared, orders


def waybill(session: Session, claim: Claim, shared_id: int, at: Any = NOW) -> None:
    """The carrier's answer for all who travel together, as the step takes it."""
    shared = session.get_one(SharedParcel, shared_id)
    begun = begin(session, WAYBILL, shared.waybill_key, sealed("{}"), at)
    if isinstance(begun, Attempt):
        done(session, begun, {"waybill_no": f"SF-{shared_id}"}, at)
    for one in travellers_of(session, shared_id):
        number = f"SF-{shared_id}"
        keep_parcel(session, one.fulfilment.order_id, one.id, "sf_express", shared.shipment_no, number, at, shared)


def leaves(session: Session, order: Order, reason: str = "订单取消") -> SharedState | None:
    lock_order(session, order.id or 0)
    return leave(session, id_of(session, order), reason, NOW)


def test_leaving_before_the_waybill_leaves_the_others_together(session: Session) -> None:
    open_shop(session)
    _, (one, two, three) = together(session, "1", "2", "3")

    assert leaves(session, two) is SharedState.OPEN
    assert [state(session, order) for order in (one, two, three)] == ["open", None, "open"]
    assert leaves(session, three) is SharedState.UNDONE
    assert [state(session, order) for order in (one, two, three)] == [None, None, None]
    assert leaves(session, three) is None  # twice
    assert [len(told_of(session, order, "unmerged")) for order in (one, two, three)] == [1, 1, 1]


def test_leaving_after_the_waybill_has_it_called_back_once_and_all_go_alone(session: Session) -> None:
    open_shop(session)
    shared, (one, two) = together(session, "1", "2", sealed_too=True)
    assert shared.id is not None

    assert leaves(session, two) is SharedState.UNDOING
    assert leaves(session, one) is SharedState.UNDOING
    assert [state(session, order) for order in (one, two)] == ["undoing", "undoing"]
    for _ in range(2):
        called_back(session, shared.id, True, NOW)

    assert [state(session, order) for order in (one, two)] == [None, None]
    assert session.exec(select(Parcel)).all() == []
    assert [len(told_of(session, order, "called_back")) for order in (one, two)] == [1, 1]
    assert [told_of(session, order, "unmerged")[0]["reason"] for order in (one, two)] == ["SH-1002-1 订单取消"] * 2
    assert session.get_one(SharedParcel, shared.id).state == "undone"


def test_a_waybill_that_is_not_given_back_stays_with_those_who_did_not_want_to_leave(session: Session) -> None:
    open_shop(session)
    shared, (one, two) = together(session, "1", "2", sealed_too=True)
    assert shared.id is not None
    leaves(session, two)

    for _ in range(2):
        called_back(session, shared.id, False, NOW)

    assert [state(session, order) for order in (one, two)] == ["sealed", None]
    assert [h.code for h in hold.open_holds(session, two.id or 0)] == ["parcel_gone"]
    assert hold.open_holds(session, one.id or 0) == []
    assert len(session.exec(select(Parcel)).all()) == 2


def test_once_a_channel_has_heard_of_the_parcel_it_goes_and_who_leaves_is_taken_out(session: Session) -> None:
    open_shop(session)
    _, (one, two) = together(session, "1", "2", sealed_too=True)
    claim = claimed(session, one, NOW + timedelta(minutes=5))
    told(session, claim, SHIP_NOTICE, f"ship-{claim.fulfilment_no}", {"id": 1}, NOW)

    with pytest.raises(MergeRefused, match="已经告诉平台"):
        unmerge(session, id_of(session, two), "王敏", NOW)
    assert leaves(session, two) is SharedState.SEALED

    assert [h.code for h in hold.open_holds(session, two.id or 0)] == ["in_shared_parcel"]
    assert parcel_of(session, id_of(session, two)) is None
    assert parcel_of(session, id_of(session, one)) is not None
    assert state(session, one) == "sealed"


def test_a_waybill_that_nobody_has_been_asked_for_needs_no_calling_back(session: Session) -> None:
    open_shop(session)
    shared, (one, two) = together(session, "1", "2")
    assert shared.id is not None
    claim = claimed(session, one, NOW + timedelta(minutes=1))
    assert seal(session, claim, shared.id, NOW)

    assert leaves(session, two) is SharedState.UNDONE
    assert state(session, one) is None


def test_a_person_merges_what_the_window_does_not(session: Session) -> None:
    open_shop(session)
    one = ready(session, "1", paid_at=NOW - timedelta(days=3))
    other = ready(session, "2")
    assert look(session, other) is None
    assert [t.number for t in could_go_with(session, id_of(session, other))] == ["SH-1001-1"]

    ids = [id_of(session, order) for order in (one, other)]
    assert merge(session, ids, "王敏", NOW) == "SH-1001-1、SH-1002-1 会装在同一个包裹里发出。"
    assert "已经在同一个合并包裹里" in merge(session, ids, "王敏", NOW)
    assert told_of(session, one, "merged") == [{"company": ["SH-1002-1"]}]

    assert unmerge(session, ids[0], "王敏", NOW) == "SH-1001-1 单独发出,不再合并。"
    assert [state(session, order) for order in (one, other)] == [None, None]
    merge(session, ids, "王敏", NOW)
    assert state(session, one) == "open"


def test_two_companies_become_one(session: Session) -> None:
    open_shop(session)
    first, a = together(session, "1", "2")
    second, b = together(session, "3", "4")

    said = merge(session, [id_of(session, a[0]), id_of(session, b[0])], "王敏", NOW)

    assert said.count("SH-") == 4
    assert len(travellers_of(session, first.id or 0)) == 4
    assert session.get_one(SharedParcel, second.id).state == "undone"
    assert [state(session, order) for order in (*a, *b)] == ["open"] * 4


@pytest.mark.parametrize(
    ("changes", "happens", "said"),
    [
        ({"receiver": ELSEWHERE}, None, "收货地址或电话不同"),
        ({"receiver": MASKED, "buyer": "buyer-2"}, None, "不能确认是同一客户"),
        ({}, from_elsewhere, "从不同的仓库发"),
        ({}, held, "被暂停"),
        ({}, with_waybill, "已经有运单"),
        ({}, shipped, "已经发货或了结"),
        ({}, cancelled, "正在取消"),
    ],
)
def test_what_cannot_be_merged_is_refused_with_the_reason(
    session: Session, changes: dict[str, Any], happens: Callable[[Session, Order], None] | None, said: str
) -> None:
    open_shop(session)
    one, other = ready(session, "1"), ready(session, "2", **changes)
    if happens is not None:
        happens(session, other)
        session.flush()

    with pytest.raises(MergeRefused, match=said):
        merge(session, [id_of(session, one), id_of(session, other)], "王敏", NOW)
    with pytest.raises(MergeRefused, match="至少要两个"):
        merge(session, [id_of(session, one)], "王敏", NOW)
    with pytest.raises(MergeRefused, match="没有和别的订单合并"):
        unmerge(session, id_of(session, one), "王敏", NOW)
    assert [state(session, order) for order in (one, other)] == [None, None]


def test_people_name_an_order_or_one_of_its_parts(session: Session) -> None:
    open_shop(session)
    ready(session, "1")

    assert [one.number for one in fulfilments_named(session, "sh-1001")] == ["SH-1001-1"]
    assert [one.number for one in fulfilments_named(session, " SH-1001-1 ")] == ["SH-1001-1"]
    for unknown in ("SH-1001-2", "SH-1001-0", "SH-1001--1", "SH-1009", "SH-1009-1", "", "x-y"):
        with pytest.raises(OrderUnknown):
            fulfilments_named(session, unknown)


def test_who_has_left_is_said_to_have_left(session: Session) -> None:
    open_shop(session)
    order = ready(session, "1")
    (part,) = fulfilments_of(session, order.id or 0)
    part.stage = Stage.SHIPPED.value
    session.add(part)
    session.flush()
    for name in ("SH-1001", "SH-1001-1"):
        with pytest.raises(MergeRefused, match=f"{name} 已经发货"):
            fulfilments_named(session, name)


def test_lanes_and_people_at_once_neither_stand_still_nor_send_two_waybills(database_url: str) -> None:
    # given ten orders of one customer, carried by six lanes, while two people merge, part, hold and cancel them
    with engine_of(database_url) as engine:
        with transaction(engine) as session:
            open_shop(session)
            numbers = [ready(session, str(n)).order_no for n in range(10)]

        def lane(number: int) -> int:
            chance, made = random.Random(number), 0
            for _ in range(25):
                order_no = chance.choice(numbers)
                with Session(engine) as session:
                    try:
                        made += _work(session, order_no, f"lane-{number}") if number < 6 else _meddle(session, chance)
                        session.commit()
                    except (ClaimLost, CompanyBusy, EffectBusy, MergeRefused):
                        session.rollback()
            return made

        def _meddle(session: Session, chance: random.Random) -> int:
            one, other = (id_of(session, find_order(session, no)) for no in chance.sample(numbers, 2))
            what = chance.random()
            if what < 0.5:
                merge(session, [one, other], "王敏", NOW)
            elif what < 0.9:
                unmerge(session, one, "王敏", NOW)
            elif what < 0.95:
                order = find_order(session, chance.choice(numbers))
                lock_order(session, order.id or 0)
                leave(session, id_of(session, order), "订单取消", NOW)
            return 0

        # when
        made = in_threads(8, lane)

        # then nobody waited in a circle (that would have raised), and each has at most one place and one waybill
        with Session(engine) as session:
            rows = session.exec(select(Parcel)).all()
            assert len({row.fulfilment_id for row in rows}) == len(rows)
            by_shared: dict[int, set[str]] = {}
            for row in rows:
                by_shared.setdefault(row.shared_parcel_id or 0, set()).add(row.waybill_no)
            assert all(len(numbers) == 1 for numbers in by_shared.values())
            alone = session.execute(
                text(
                    "SELECT count(*) FROM shared_parcel s WHERE state = 'open' AND (SELECT count(*) FROM"
                    " shared_parcel_member m WHERE m.shared_parcel_id = s.id AND left_at IS NULL) < 2"
                )
            ).scalar_one()
            assert alone == 0
            assert sum(made) > 0
            assert_accounts_agree(session)


def _work(session: Session, order_no: str, lane: str) -> int:
    """What a lane does at the waybill, in one transaction each: look, seal, ask, take the answer; or call it back."""
    order = find_order(session, order_no)
    claims = claim_order(session, order.id or 0, lane, 0.05)
    session.commit()
    if not claims:
        return 0
    (claim,) = claims
    shared = company_of(session, claim.fulfilment_id)
    session.rollback()
    if shared is not None and shared.state == SharedState.UNDOING.value and shared.id is not None:
        lock_with_company(session, [claim.order_id], shared.id)
        called_back(session, shared.id, True, NOW)
        return 0
    company = find_company(session, claim, TERMS, NOW)
    session.commit()
    if company is None or company.waits_for or not seal(session, claim, company.id, NOW):
        return 0
    session.commit()
    lock_with_company(session, [claim.order_id], company.id)
    hold_on(session, claim)
    if lock_shared(session, company.id).state != SharedState.SEALED.value:
        return 0
    begun = begin(session, WAYBILL, session.get_one(SharedParcel, company.id).waybill_key, sealed("{}"), NOW)
    session.commit()
    lock_with_company(session, [claim.order_id], company.id)
    if isinstance(begun, Settled):
        return 0
    done(session, begun, {"waybill_no": "SF"}, NOW)
    if lock_shared(session, company.id).state == SharedState.SEALED.value:
        waybill(session, claim, company.id)
    return 1
