"""Refunds that were taken and cannot be paid: a person hears of each, nothing runs in circles, nobody is paid twice."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from flows.cancel_order import cancel_order
from integrations.errors import Refused
from integrations.payments import RefundWish
from integrations.payments.alipay import Alipay
from models.database import transact, utcnow
from models.order import Order
from models.refund import Refund, RefundStep, owe_part, refunds_of, report, settle_by_hand
from tasks.refunding import follow_refunds, pay_back
from tests.carrying import carry, holds, placed
from tests.e2e.money_back import given_back
from tests.e2e.told_once import events
from tests.house import House
from tests.orders import fulfilment_of
from tests.prefect import RunningServer

WHO = {"reason": "客户不要了", "who": "客服小张"}


async def test_a_refund_that_was_taken_and_cannot_be_paid_waits_for_a_person_and_does_not_run_in_circles(
    home: House, prefect_server: RunningServer
) -> None:
    # given a refund that the keeper took, and then could not pay
    order = await placed(home, gateway="wechat_pay")
    home.sandbox.world.set_fault("wechat_pay", "refund", "abnormal")
    await cancel_order(order.order_no, **WHO, return_state=True)
    for _ in range(20):
        if _refund(order).state == RefundStep.STUCK.value:
            break
        _look_now(order)
        await carry(order)
    assert _refund(order).state == RefundStep.STUCK.value
    # when it is looked at again and again
    told = events(order)["refund_reported"]
    for _ in range(4):
        await carry(order)
        assert _refund(order).state == RefundStep.STUCK.value
    # then nothing changed, it is on somebody's list, and the order lies until there is news
    assert events(order)["refund_reported"] == told
    assert await holds(order) == ["refund_stuck"]
    waits = "SELECT ready_at > now() + interval '1 hour' FROM fulfilment WHERE id = :id"
    part = fulfilment_of(order)
    assert transact(lambda s: s.connection().execute(text(waits), {"id": part.id}).scalar_one())


async def test_what_a_person_has_paid_meanwhile_is_not_asked_for_by_who_read_it_before(
    home: House, prefect_server: RunningServer
) -> None:
    # given somebody who read a refund when it was due
    order = await placed(home, gateway="alipay")
    await carry(order)
    owed = _owed(order)
    # when it is refused, and paid by hand, before he gets to it
    transact(lambda s: report(s, owed.refund_no, RefundStep.STUCK, "refund", utcnow(), problem="余额不足"))
    transact(lambda s: settle_by_hand(s, owed.refund_no, "财务", utcnow()))
    late = await pay_back(owed)
    # then the platform pays nothing
    assert (late.state, given_back(home, order)) == (RefundStep.BY_HAND.value, 0)


async def test_one_bad_refund_does_not_stop_those_behind_it(
    home: House, prefect_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await placed(home, gateway="alipay"), await placed(home, gateway="alipay")
    for order in (first, second):
        await carry(order)
        _owed(order)
    build = Alipay.refund_request

    def breaks(self: Alipay, wish: RefundWish) -> bytes:
        if wish.trade.payment_ref == first.payment_ref:
            raise KeyError("a defect")
        return build(self, wish)

    with monkeypatch.context() as patch:
        patch.setattr(Alipay, "refund_request", breaks)
        with pytest.raises(ExceptionGroup):
            await follow_refunds()
    assert [given_back(home, order) for order in (first, second)] == [0, 100]
    await follow_refunds()
    assert given_back(home, first) == 100


async def test_a_keeper_that_will_not_say_what_became_of_a_refund_sends_nobody_to_pay_it_again(
    home: House, prefect_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a refund that the keeper has taken
    order = await placed(home, gateway="alipay")
    await carry(order)
    owed = _owed(order)
    transact(lambda s: report(s, owed.refund_no, RefundStep.PROCESSING, "refund", utcnow(), refund_id="1"))

    # when it refuses to be asked
    async def no(self: Alipay, request: bytes) -> None:
        raise Refused("alipay", "401", "invalid app id")

    monkeypatch.setattr(Alipay, "find_refund", no)
    await follow_refunds()
    # then it is still under way
    assert (_refund(order).state, await holds(order)) == (RefundStep.PROCESSING.value, [])


def _owed(order: Order) -> Refund:
    return transact(lambda s: owe_part(s, order.id or 0, 100, "包装破了", "1", "客服小张", utcnow(), "alipay"))


def _refund(order: Order) -> Refund:
    (only,) = transact(lambda session: refunds_of(session, order.id or 0))
    return only


def _look_now(order: Order) -> None:
    now = text("UPDATE refund SET look_again_at = now() WHERE order_id = :id")
    transact(lambda session: session.connection().execute(now, {"id": order.id}))
