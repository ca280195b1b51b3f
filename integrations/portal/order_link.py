"""`/o/{token}`: a customer's own order, for whoever holds the link; what it waits for, and cancelling before it ships.

Nobody's name, phone or address is here. Cancelling takes two pages, so that no script is needed and no link alone
does it; what the button does is decided again, under the order's lock, when it is pressed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, select
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from integrations.portal.bodies import read_form
from integrations.portal.links import Links
from integrations.portal.people import check_form, form_token
from integrations.portal.rendering import html
from models.backorder import backorder_of
from models.cancellation import request_cancellation
from models.compensation import CompensationState, compensations_of
from models.coupon import CouponState, coupons_of
from models.customer_link import order_behind
from models.database import utcnow
from models.feeding_page import feeding_lines
from models.form_desk import CUSTOMER, Question, fields_in_words, questions_of, why_not
from models.fulfilment import Fulfilment, Stage, fulfilments_of
from models.order import Order, lines_of, lock_order
from models.parcel import Parcel
from models.promise import expected_by
from models.refund import RefundStep, refunds_of
from models.rules_in_force import form_of
from models.wording import local

ACTOR, REASON = "customer", "客户在订单页取消"
ENDED = (Stage.CANCELLED.value, Stage.REFUNDED.value)
#: What a refund is to the customer, by its step; a dropped one is the platform's own and not shown.
REFUND_WORDS: dict[str, str] = {
    RefundStep.DUE: "正在办理",
    RefundStep.PROCESSING: "已提交,等待支付平台到账",
    RefundStep.STUCK: "原路退回遇到问题,客服正在处理",
    RefundStep.PAID: "已原路退回",
    RefundStep.BY_HAND: "已由客服退给您",
}
#: Headline of an order by the least advanced of its parts, and a sentence on what comes next.
STAGE_NEWS: dict[str, tuple[str, str]] = {
    Stage.RECEIVED: ("订单已收到", "我们正在为您备货。"),
    Stage.RESERVED: ("正在备货", "商品已为您留好。"),
    Stage.APPROVED: ("正在备货", "备好以后会打包发出。"),
    Stage.PRODUCED: ("准备打包", "打包以后交给快递。"),
    Stage.SHIPPED: ("已发货", "包裹在路上。"),
    Stage.DELIVERED: ("已签收", "如有问题,请在下单的平台联系店铺客服。"),
    Stage.CLOSED: ("已完成", "感谢您的购买。"),
}


@dataclass(frozen=True)
class Standing:
    """Where an order is for its customer. `why_not` says why it cannot be cancelled here; "" when it can."""

    headline: str
    sentence: str
    calm: bool
    why_not: str

    @property
    def can_cancel(self) -> bool:
        """Whether the button is there."""
        return not self.why_not


class OrderLink:
    """The pages of one order."""

    def __init__(self, links: Links) -> None:
        self._links = links

    async def show(self, request: Request) -> Response:
        """The order behind a token; 404, the same for every token that shows nothing; 429 after many guesses."""
        return html("order_link.html", await self._links.behind(request, lambda s, token: _shown(s, token)))

    async def ask(self, request: Request) -> Response:
        """Are you sure? Only reading; an order that cannot be cancelled says why."""
        shown = await self._links.behind(request, lambda s, token: _shown(s, token))
        return html("order_link_cancel.html", {**shown, "csrf": form_token(request.path_params["token"])})

    async def cancel(self, request: Request) -> Response:
        """Cancel: 303 to the order; 409 with why it cannot be, and nothing changed. Twice: the first one stands.

        A form without our token, or from another origin: 403.
        """
        form = await read_form(request)
        check_form(request, form, form_token(request.path_params["token"]))
        refused = await self._links.behind(request, _cancel)
        if refused:
            return html("order_link.html", refused, 409)
        return RedirectResponse(f"/o/{request.path_params['token']}", 303)


def _cancel(session: Session, token: str) -> Mapping[str, Any] | None:
    """{} when it is being cancelled now; what to show instead when it cannot be; None for a link to nothing."""
    now = utcnow()
    order_id = order_behind(session, token, now)
    if order_id is None:
        return None
    order = lock_order(session, order_id)
    standing = stands(session, order)
    if standing.why_not:
        return {**_values(session, order, token), "notice": f"{standing.why_not}这次没有改变任何内容。"}
    request_cancellation(session, order, REASON, ACTOR, now)
    return {}


def _shown(session: Session, token: str) -> Mapping[str, Any] | None:
    order_id = order_behind(session, token, utcnow())
    return None if order_id is None else _values(session, session.get_one(Order, order_id), token)


def _values(session: Session, order: Order, token: str) -> Mapping[str, Any]:
    assert order.id is not None
    parts = fulfilments_of(session, order.id)
    waits = [backorder_of(session, part.id) for part in parts if part.id is not None]
    refunds = [refund for refund in refunds_of(session, order.id) if refund.state in REFUND_WORDS]
    coupons = [coupon for coupon in coupons_of(session, order.id) if coupon.state == CouponState.ISSUED.value]
    asked = _asked(session, order)
    parcels = session.exec(select(Parcel).where(Parcel.order_id == order.id, Parcel.link_until > utcnow()))
    return {
        "order": order,
        "standing": stands(session, order),
        "form_title": form_of(session, order).title() if asked else "",
        "asked": fields_in_words(form_of(session, order), asked) if asked else "",
        "goods": [(line.title or line.sku, line.quantity) for line in lines_of(session, order.id)],
        "feeding": [fed.said() for fed in feeding_lines(session, order)],
        "expected_on": max((wait.expected_on for wait in waits if wait), default=None),
        "refunds": [(refund.amount_fen, REFUND_WORDS[refund.state]) for refund in refunds],
        "coupons": [(coupon.value_fen, coupon.ends_at) for coupon in coupons],
        "parcels": [parcel.token for parcel in parcels],
        "link": f"/o/{token}",
        "paid_fen": order.paid_fen - order.refunded_fen if order.payment_verified_at else 0,
        "notice": "",
    }


def _asked(session: Session, order: Order) -> list[Question]:
    """What the customer is still asked about the order's pets, and may answer behind the link."""
    asked = questions_of(session, order, utcnow())
    return [question for question in asked if not why_not(session, order, question.line, CUSTOMER)]


def stands(session: Session, order: Order) -> Standing:
    """Where this order is, in the customer's words, and whether it can still be cancelled here."""
    assert order.id is not None
    parts = fulfilments_of(session, order.id)
    left = [part for part in parts if part.stage not in ENDED]
    owed = any(c.state == CompensationState.DUE.value for c in compensations_of(session, order.id))
    if not left:
        return Standing("订单已取消", "", False, "订单已经取消,不用再按。")
    if order.cancel_requested_at is not None:
        sentence = "付过的钱会原路退回,到账以后这里会显示。" if order.payment_verified_at else ""
        return Standing("正在取消订单", sentence, False, "订单已经在取消,不用再按。")
    if owed:
        sentence = "很抱歉,有商品发不出来:钱会全额退回,不需要您做什么。"
        return Standing("正在为您退款", sentence, False, "订单已经在退款,不用再取消。")
    if any(Stage(part.stage).reached(Stage.SHIPPED) for part in left):
        return Standing(*_news(left), True, "订单已经发货,不能在这里取消:请联系店铺客服,或收到后申请退货。")
    if any(backorder_of(session, part.id) for part in left if part.id is not None):
        return Standing("正在等货", "到货后按付款先后发出;不想等可以取消,全额退款。", True, "")
    if order.payment_verified_at is None and order.paid_at is None:
        return Standing("等待付款", "付款以后我们开始备货。", True, "")
    if (expected := expected_by(session, order)) is not None:
        late = "比预计的晚了一些,正在加紧。" if expected < utcnow() else f"预计 {local(expected)} 做好。"
        return Standing("正在制作", f"{late}做好以后打包发出。", True, "")
    return Standing(*_news(left), True, "")


def _news(parts: Sequence[Fulfilment]) -> tuple[str, str]:
    """What is told of these parts: of the least advanced one, and that others are on their way already."""
    stages = [Stage(part.stage) for part in parts]
    least = next(stage for stage in Stage if stage in stages)
    headline, sentence = STAGE_NEWS[least]
    if not least.reached(Stage.SHIPPED) and any(stage.reached(Stage.SHIPPED) for stage in stages):
        return "部分已发货", "其余的还在备货,会分开发出。"
    return headline, sentence
