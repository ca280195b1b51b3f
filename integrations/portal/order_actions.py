"""The buttons of an order's page. Each is one rule in one transaction, and the person's name is in the timeline."""

from __future__ import annotations

from sqlmodel import Session
from starlette.exceptions import HTTPException
from starlette.responses import Response

from integrations.portal.order_detail import path_of
from integrations.portal.order_money import money_of
from integrations.portal.people import Visit, page
from models import hold
from models.cancellation import request_cancellation
from models.fulfilment import fulfilments_of, wake
from models.order import Order, OrderUnknown, find_order
from models.timeline import EventKind, note

LONGEST_REASON = 200
LOOK_NOW = "在页面上要求现在再看一次"


@page
def look_now(visit: Visit, session: Session) -> Response:
    """`POST …/wake`: the lane looks at the order now. Twice: it looks twice, and does nothing twice."""
    visit.must_be_allowed("wake")
    order, order_id = _order(visit, session)
    woken = wake(session, [part.id for part in fulfilments_of(session, order_id) if part.id is not None], visit.now)
    if not woken:
        return visit.go(path_of(order.order_no), f"订单 {order.order_no} 已经结束,没有需要再看的。")
    note(session, order_id, EventKind.RERUN, visit.name, visit.now, reason=LOOK_NOW)
    return visit.go(path_of(order.order_no), f"已唤醒订单 {order.order_no},几秒后刷新看结果。")


@page
def cancel(visit: Visit, session: Session) -> Response:
    """`POST …/cancel`: ask for cancellation; the lane calls back what is out. Twice: the first one stands."""
    visit.must_be_allowed("cancel")
    reason = visit.text("reason", LONGEST_REASON)
    if not reason:
        raise HTTPException(400, "取消订单要写原因:请返回填写后再提交。没有任何改变。")
    order, _ = _order(visit, session)
    return visit.go(path_of(order.order_no), request_cancellation(session, order, reason, visit.name, visit.now))


@page
def release_hold(visit: Visit, session: Session) -> Response:
    """`POST …/release`: release one hold, by its code. Twice: it is released already, and nothing changes."""
    visit.must_be_allowed("release")
    code = visit.text("code", LONGEST_REASON)
    if not code:
        raise HTTPException(400, "没有说要解除哪一个暂停:请返回订单页再点一次。没有任何改变。")
    order, order_id = _order(visit, session)
    if money_of(session, order).decides(code):
        sentence = "这个暂停要在「补偿与退款」里批准、驳回或了结,不能直接解除。没有任何改变。"
        return visit.go(path_of(order.order_no), sentence)
    lifted = hold.lift(session, order_id, visit.name, visit.now, [code])
    sentence = "已解除暂停,订单会自动继续。" if lifted else "这个暂停已经解除过了,没有任何改变。"
    return visit.go(path_of(order.order_no), sentence)


def _order(visit: Visit, session: Session) -> tuple[Order, int]:
    try:
        order = find_order(session, visit.request.path_params["order_no"])
    except OrderUnknown as error:
        raise HTTPException(404, str(error)) from error
    assert order.id is not None
    return order, order.id
