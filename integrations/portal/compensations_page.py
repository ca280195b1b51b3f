"""`/compensations`: money that waits for a person's word: compensations over the limit, refunds that are stuck."""

from __future__ import annotations

from sqlmodel import Session, col, select
from starlette.responses import Response

from integrations.portal import labels
from integrations.portal.order_detail import path_of
from integrations.portal.people import Visit, page
from models.compensation import CAUSE_WORDS, Compensation, CompensationState
from models.fulfilment import FINAL, Fulfilment
from models.order import Order
from models.refund import Refund, RefundStep
from models.settings import settings

MOST_SHOWN = 100


@page
def compensations(visit: Visit, session: Session) -> Response:
    """Open decisions, the longest waiting first, then stuck refunds likewise."""
    stopped = (
        select(Compensation, Order, Fulfilment.number)
        .join(Order, col(Order.id) == col(Compensation.order_id))
        .join(Fulfilment, col(Fulfilment.id) == col(Compensation.fulfilment_id))
        .where(
            Compensation.state == CompensationState.STOPPED.value,
            col(Fulfilment.stage).not_in([stage.value for stage in FINAL]),
        )
        .order_by(col(Compensation.asked_at), col(Compensation.id))
        .limit(MOST_SHOWN)
    )
    stuck = (
        select(Refund, Order)
        .join(Order, col(Order.id) == col(Refund.order_id))
        .where(Refund.state == RefundStep.STUCK.value)
        .order_by(col(Refund.owed_at), col(Refund.id))
        .limit(MOST_SHOWN)
    )
    values = {
        "decisions": session.exec(stopped).all(),
        "stuck": session.exec(stuck).all(),
        "policy": settings().policy,
        "causes": CAUSE_WORDS,
        "labels": labels,
        "path_of": path_of,
        "most": MOST_SHOWN,
    }
    return visit.render(session, "compensations.html", values)
