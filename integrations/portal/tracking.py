"""`GET /t/{token}`: where a customer's parcel is, for whoever holds the link; nobody's name, phone or address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response

from integrations.carriers import ParcelState
from integrations.portal.links import Links
from integrations.portal.rendering import html
from models.database import utcnow
from models.fulfilment import Fulfilment, Stage, carried_by, fulfilments_of
from models.order import Order, lines_of
from models.parcel import parcel_by_token
from models.production import WorkState, work_orders_of
from models.settings import settings
from models.timeline import EventKind, OrderEvent, timeline
from models.wording import local

#: Where a parcel is, to a customer.
PARCEL_STATES: dict[str, str] = {
    ParcelState.CREATED: "等待快递揽收",
    ParcelState.PICKED_UP: "快递已揽收",
    ParcelState.IN_TRANSIT: "运输途中",
    ParcelState.OUT_FOR_DELIVERY: "正在派送",
    ParcelState.EXCEPTION: "派送遇到问题",
    ParcelState.SIGNED: "已签收",
    ParcelState.RETURNING: "包裹正在退回",
    ParcelState.UNKNOWN: "运输途中",
}
#: Name and hotline of each carrier.
CARRIERS = {"sf_express": ("顺丰速运", "95338")}
#: What each kind of event is to a customer; others are not shown.
EVENT_WORDS: dict[str, str] = {
    EventKind.RECEIVED: "订单已收到",
    EventKind.PAYMENT_VERIFIED: "付款已确认",
    EventKind.RELEASED: "开始制作",
    EventKind.PRODUCED: "备货完成,准备打包",
    EventKind.WAYBILL_CREATED: "包裹已打包,运单已生成",
    EventKind.SHIPPED: "已交给快递",
    EventKind.DELIVERED: "已签收",
    EventKind.CANCEL_REQUESTED: "正在取消订单",
    EventKind.CANCELLED: "订单已取消",
}
#: The steps that the bar on top shows.
STEPS = ("已下单", "已备货", "运输中", "派送中", "已签收")
_STEP_OF = {
    ParcelState.CREATED: 1,
    ParcelState.OUT_FOR_DELIVERY: 3,
    ParcelState.SIGNED: 4,
}
_BEING_MADE = (WorkState.RELEASED, WorkState.IN_PROGRESS)


@dataclass(frozen=True)
class Passed:
    """One thing that has happened, in the customer's words."""

    at: datetime
    words: str


class Tracking:
    """The tracking pages."""

    def __init__(self, links: Links) -> None:
        self._links = links

    async def show(self, request: Request) -> Response:
        """The page behind a token; 404, the same for every token that shows nothing; 429 after many guesses."""
        shown = await self._links.behind(request, lambda session, token: what_it_shows(session, token, utcnow()))
        return html("tracking.html", shown)


def what_it_shows(session: Session, token: str, now: datetime) -> Mapping[str, Any] | None:
    """Everything on the page behind this token; None when the link shows nothing (unknown, expired)."""
    parcel = parcel_by_token(session, token, now)
    if parcel is None:
        return None
    order = session.get_one(Order, parcel.order_id)
    fulfilment = session.get_one(Fulfilment, parcel.fulfilment_id)
    parts = fulfilments_of(session, parcel.order_id)
    state = ParcelState(parcel.state) if parcel.state in PARCEL_STATES else ParcelState.UNKNOWN
    titles = {line.id: line.title or line.sku for line in lines_of(session, parcel.order_id)}
    carried = carried_by(session, parcel.fulfilment_id)
    passed = [event for event in timeline(session, parcel.order_id) if event.fulfilment_id in (None, fulfilment.id)]
    return {
        "order": order,
        "headline": _headline(order, fulfilment, state),
        "calm": state not in (ParcelState.EXCEPTION, ParcelState.RETURNING) and order.cancel_requested_at is None,
        "steps": STEPS,
        "step": _STEP_OF.get(state, 2),
        "over": order.cancel_requested_at is not None or fulfilment.stage in (Stage.CANCELLED, Stage.REFUNDED),
        "carrier": CARRIERS.get(parcel.carrier, (parcel.carrier, "")),
        "parcel": parcel,
        "part": (fulfilment.number, len(parts)),
        "goods": [(titles.get(part.order_line_id, ""), part.quantity) for part in carried],
        "expected": _expected(session, fulfilment, state),
        "passed": list(reversed(_passed(passed))),
    }


def _headline(order: Order, fulfilment: Fulfilment, state: ParcelState) -> str:
    if fulfilment.stage in (Stage.CANCELLED, Stage.REFUNDED):
        return "订单已取消"
    if order.cancel_requested_at is not None:
        return "正在取消订单"
    if fulfilment.stage in (Stage.DELIVERED, Stage.CLOSED):
        return PARCEL_STATES[ParcelState.SIGNED]
    return PARCEL_STATES[state]


def _expected(session: Session, fulfilment: Fulfilment, state: ParcelState) -> str:
    """What comes next and when, as far as we know it."""
    if Stage(fulfilment.stage).reached(Stage.DELIVERED):
        return ""
    works = work_orders_of(session, fulfilment.id or 0)
    unmade = [work.expected_at for work in works if work.expected_at and work.state in _BEING_MADE]
    if unmade:
        return f"预计 {local(max(unmade))} 制作完成"
    if state is ParcelState.OUT_FOR_DELIVERY:
        return "预计今天送达,请留意电话"
    hours = settings().policy.delivery_look_again_hours
    return f"送达时间以快递为准;这里每 {hours} 小时更新一次"


def _passed(events: list[OrderEvent]) -> list[Passed]:
    shown: list[Passed] = []
    for event in events:
        if event.kind == EventKind.ROUTE_REPORTED:
            words = PARCEL_STATES.get(str(event.detail.get("state")), "")
        else:
            words = EVENT_WORDS.get(event.kind, "")
        if words and (not shown or shown[-1].words != words):
            shown.append(Passed(event.at, words))
    return shown
