"""What people do about money on an order's page. Each is one rule in one transaction, under the person's name.

Whoever may not decide about money (the warehouse, above all) is refused; pressing twice changes nothing twice.
"""

from __future__ import annotations

from sqlmodel import Session, select
from starlette.exceptions import HTTPException
from starlette.responses import Response

from integrations.portal.order_detail import path_of
from integrations.portal.people import Visit, page
from models import compensation, refund
from models.compensation import Cause, CompensationState, Limits
from models.effect import Effect
from models.fulfilment import Fulfilment, fulfilments_of, interrupt
from models.order import Order, OrderUnknown, find_order, lock_order
from models.refund import STEP_WORDS, Refund, RefundStep, settle_by_hand
from models.settings import settings

LIST = "/compensations"
LONGEST_REASON, LONGEST_NUMBER = 200, 80


@page
def decide(visit: Visit, session: Session) -> Response:
    """`POST …/compensation/decide`: approve or decline what was stopped at the limit."""
    visit.must_be_allowed("compensate")
    verdict = visit.form.get("verdict", "")
    if verdict not in ("approve", "decline"):
        raise HTTPException(400, "请按「批准」或「驳回」。没有任何改变。")
    order, order_id = _order(visit, session)
    _, sentence = compensation.decide(session, order_id, verdict == "approve", visit.name, visit.now)
    return _back(visit, order, sentence)


@page
def again(visit: Visit, session: Session) -> Response:
    """`POST …/compensation/again`: ask once more for a compensation that there is. Nothing changes; it says so."""
    visit.must_be_allowed("compensate")
    order, order_id = _order(visit, session)
    part = _part(visit, session, order_id)
    known = compensation.compensation_of(session, part.id or 0)
    if known is None:
        return _back(visit, order, f"{order.order_no}-{part.number} 没有补偿可以再办,这次没有改变任何内容。")
    if known.state == CompensationState.DECLINED.value:
        sentence = f"{order.order_no}-{part.number} 的补偿已被驳回:要补偿请用「手工补偿」并写明原因。没有任何改变。"
        return _back(visit, order, sentence)
    _, sentence = compensation.request(
        session, part, Cause(known.cause), known.reason, visit.name, visit.now, _limits(), by_person=True
    )
    return _back(visit, order, sentence)


@page
def by_hand(visit: Visit, session: Session) -> Response:
    """`POST …/compensate`: have one unshipped, paid part of the order paid back, for a reason of one's own."""
    visit.must_be_allowed("compensate")
    reason = visit.text("reason", LONGEST_REASON)
    if not reason:
        raise HTTPException(400, "手工补偿要写原因:请返回填写后再提交。没有任何改变。")
    order, order_id = _order(visit, session)
    part = _part(visit, session, order_id)
    if order.cancel_requested_at is not None:
        return _back(visit, order, f"订单 {order.order_no} 正在取消,款项会一并退回。没有任何改变。")
    _, sentence = compensation.request(
        session, part, Cause.BY_HAND, reason, visit.name, visit.now, _limits(), by_person=True
    )
    return _back(visit, order, sentence)


@page
def settle(visit: Visit, session: Session) -> Response:
    """`POST …/refunds/settle`: a stuck refund was paid in another way. What still moves by itself is left alone."""
    visit.must_be_allowed("compensate")
    refund_no = visit.text("refund_no", LONGEST_NUMBER)
    order, order_id = _order(visit, session)
    statement = select(Refund).where(Refund.refund_no == refund_no, Refund.order_id == order_id).with_for_update()
    owed = session.exec(statement.execution_options(populate_existing=True)).first()
    if owed is None:
        raise HTTPException(404, f"订单 {order.order_no} 没有这笔退款:请从订单页再点一次。没有任何改变。")
    if owed.state not in refund.OPEN:
        return _back(visit, order, f"退款 {refund_no} 已经了结,这次没有改变任何内容。")
    if owed.state in (RefundStep.DUE.value, RefundStep.PROCESSING.value):
        words = STEP_WORDS[owed.state][0]
        return _back(visit, order, f"退款 {refund_no} 还在由平台办理({words}),先别线下退。没有任何改变。")
    telling = session.exec(select(Effect).where(Effect.key == f"refund-{refund_no}")).first()
    if telling is not None and telling.lease_until is not None and telling.lease_until > visit.now:
        return _back(visit, order, f"正在向平台再问一次退款 {refund_no},请一分钟后再看结果。没有任何改变。")
    # whoever is just about to ask the platform again must not: the fence stops it before it begins
    interrupt(session, [part.id for part in fulfilments_of(session, order_id) if part.id is not None], visit.now)
    _, sentence = settle_by_hand(session, refund_no, visit.name, visit.now)
    return _back(visit, order, sentence)


def _order(visit: Visit, session: Session) -> tuple[Order, int]:
    """The order of this address, locked. Raises `HTTPException` 404."""
    try:
        order = find_order(session, visit.request.path_params["order_no"])
    except OrderUnknown as error:
        raise HTTPException(404, str(error)) from error
    assert order.id is not None
    return lock_order(session, order.id), order.id


def _part(visit: Visit, session: Session, order_id: int) -> Fulfilment:
    """The fulfilment that the form names by its number. Raises `HTTPException` 404."""
    number = visit.form.get("part", "")
    for part in fulfilments_of(session, order_id):
        if str(part.number) == number:
            return part
    raise HTTPException(404, "没有说是哪一件:请从订单页再点一次。没有任何改变。")


def _back(visit: Visit, order: Order, sentence: str) -> Response:
    """To the list if the button was pressed there, else to the order."""
    return visit.go(LIST if visit.form.get("from") == "list" else path_of(order.order_no), sentence)


def _limits() -> Limits:
    return Limits.of(settings().policy)
