"""`/orders/{order_no}`: everything about one order, with why it is not moving on top."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from sqlmodel import Session
from starlette.responses import RedirectResponse, Response

from integrations.portal import labels
from integrations.portal.order_changes import views_of
from integrations.portal.order_money import code_shown, coupon_words, money_of
from integrations.portal.order_parts import parts_of
from integrations.portal.people import Visit, page
from integrations.portal.review_pages import VERDICTS, run_link
from models import explain_words
from models.compensation import CAUSE_WORDS
from models.customer_link import known_token
from models.explain import explain
from models.fulfilment import Stage
from models.order import Order, OrderUnknown, find_order
from models.order_page import order_page
from models.refund import STEP_WORDS
from models.review_duty import role_word
from models.rules_in_force import form_of
from models.settings import settings

#: The line of an explanation after which it speaks of the present; what was before is in the timeline.
NOW = "现在:"


@page
def order(visit: Visit, session: Session) -> Response:
    """The page of one order; also by the channel's own number. 404 with what we know of a number that is none."""
    asked = visit.request.path_params["order_no"]
    told = explain(session, asked, visit.now, "zh")
    try:
        shown = order_page(session, told.order_no)
    except OrderUnknown:
        response = visit.render(session, "no_order.html", {"asked": asked[:80], "lines": told.lines})
        response.status_code = 404
        return response
    if shown.order_no != asked:
        return RedirectResponse(path_of(shown.order_no), 303)
    now = told.lines.index(NOW) + 1 if NOW in told.lines else 0
    known = find_order(session, shown.order_no)
    unfinished = any(not Stage(part.stage).final for part in shown.fulfilments)
    values = {
        "order": shown,
        "explanation": told.lines[now:],
        "labels": labels,
        "explain_words": explain_words,
        "open_holds": [hold for hold in shown.holds if hold.released_at is None],
        "past_holds": [hold for hold in shown.holds if hold.released_at is not None],
        "events": [(event, labels.event_words(event), labels.actor(event.actor)) for event in reversed(shown.events)],
        "changes": views_of(shown.changes),
        "unfinished": unfinished,
        "can_cancel": unfinished and shown.cancel_requested_at is None,
        "base": path_of(shown.order_no),
        "run_link": run_link,
        "verdicts": VERDICTS,
        "role_word": role_word,
        "money": money_of(session, known),
        "parts": parts_of(session, known, shown.events),
        "form_title": form_of(session, known).title() if any(line.made_to_order for line in shown.lines) else "",
        "customer_form": _customer_form(session, known, visit.now),
        "causes": CAUSE_WORDS,
        "steps": STEP_WORDS,
        "code_shown": code_shown,
        "coupon_words": coupon_words,
    }
    return visit.render(session, "order.html", values)


def _customer_form(session: Session, order: Order, now: datetime) -> str:
    """Where the customer fills in the form; "" while there is no link."""
    assert order.id is not None
    token = known_token(session, order.id, now)
    return f"{settings().portal_url()}/o/{token}/form" if token else ""


def path_of(order_no: str) -> str:
    """The path of an order's page."""
    return f"/orders/{quote(order_no, safe='')}"
