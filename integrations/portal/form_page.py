"""`/o/{token}/form`: a customer fills in the order form behind the link; staff fill in the same one for them.

The page is made from the form that the order is asked by, whatever its questions are. It works without a script: with
one, choices and ranges follow what was chosen before. All is judged again under the order's lock when it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from integrations.portal.bodies import read_form
from integrations.portal.form_view import PetView, filled_in, pet_view, words
from integrations.portal.languages import language_of
from integrations.portal.links import Links
from integrations.portal.people import Visit, check_form, form_token, page
from integrations.portal.rendering import html
from models.customer_link import order_behind
from models.database import utcnow
from models.form_desk import CUSTOMER, FormRefused, pets_of, save_answers, why_not
from models.hold import open_holds
from models.order import Order, OrderUnknown, find_order, lock_order
from models.order_form import FormResult
from models.review import REVIEWER_ASKS
from models.rules_in_force import form_of

#: A form of several pets with long notes; more than that nobody types.
FORM_BYTES = 64 * 1024
#: So many lines are asked about on one page.
MOST_PETS = 20


@dataclass
class Sent:
    """What came of a form that was sent: lines that were kept, sentences on those that were refused, and the page."""

    kept: int
    refused: list[str]
    pets: list[PetView]

    @property
    def wrong(self) -> int:
        """How many answers are to be corrected."""
        return sum(len(pet.wrong) for pet in self.pets)

    @property
    def fine(self) -> bool:
        """Whether all that was sent was kept."""
        return bool(self.kept) and not self.wrong and not self.refused


def shown_pets(session: Session, order: Order, actor: str, language: str, now: datetime) -> list[PetView]:
    """The order's pets as they are filled in so far."""
    pets = pets_of(session, order, now)[:MOST_PETS]
    if not pets:
        return []
    form = form_of(session, order)
    return [
        pet_view(form, pet, language, now, closed=why_not(session, order, pet.line, actor, language)) for pet in pets
    ]


def take(session: Session, order: Order, sent: Mapping[str, str], actor: str, language: str, now: datetime) -> Sent:
    """Keep what was sent, line by line: a line that is complete is kept, of another nothing."""
    assert order.id is not None
    order = lock_order(session, order.id)
    outcome = Sent(0, [], [])
    for pet in pets_of(session, order, now)[:MOST_PETS]:
        form = form_of(session, order)
        if str(pet.line.line_no) not in sent:  # it was closed already when the page was made
            closed = why_not(session, order, pet.line, actor, language)
            outcome.pets.append(pet_view(form, pet, language, now, closed=closed))
            continue
        filled = filled_in(form, pet.line.line_no, sent, language)
        result: FormResult | None = None
        closed = ""
        if filled.clashes:
            result = form.check({**pet.line.pet, **filled.typed}, now, language)
        else:
            try:
                result = save_answers(session, order, pet.line.line_no, filled.typed, actor, now, language)
                outcome.kept += result.complete
            except FormRefused as refused:
                closed = str(refused)
                outcome.refused.append(closed)
        view = pet_view(form, pet, language, now, closed=closed, filled=filled, result=result, fresh=False)
        outcome.pets.append(view)
    return outcome


def values_of(order: Order, title: str, pets: list[PetView], language: str, action: str, csrf: str) -> dict[str, Any]:
    """What the template shows."""
    said = words(language)
    return {
        "order_no": order.order_no,
        "heading": said["fill"].format(title=title),
        "pets": pets,
        "open_pets": [pet for pet in pets if not pet.closed],
        "language": language,
        "words": said,
        "action": action,
        "csrf": csrf,
        "notice": "",
        "bad": False,
        "saved": False,
    }


class FormPage:
    """The customer's page."""

    def __init__(self, links: Links) -> None:
        self._links = links

    async def show(self, request: Request) -> Response:
        """The form of the order behind a token, or what is known once it is filled in; 404 and 429 as other links."""
        language, saved = language_of(request), request.query_params.get("saved") == "1"
        shown = await self._links.behind(request, lambda session, token: _shown(session, token, language, saved))
        return html("form_link.html", shown)

    async def save(self, request: Request) -> Response:
        """Keep what was filled in: 303 to the page; 422 with what is to be corrected, 409 when it is too late.

        A form without our token, or from another origin: 403.
        """
        sent = await read_form(request, FORM_BYTES)
        token, language = request.path_params["token"], language_of(request)
        check_form(request, sent, form_token(token))
        shown = await self._links.behind(request, lambda session, token: _saved(session, token, sent, language))
        if not shown:
            return RedirectResponse(f"/o/{token}/form?saved=1&lang={language}", 303)
        return html("form_link.html", shown, 409 if not shown["open_pets"] else 422)


def _shown(session: Session, token: str, language: str, saved: bool) -> Mapping[str, Any] | None:
    now = utcnow()
    order_id = order_behind(session, token, now)
    if order_id is None:
        return None
    order = session.get_one(Order, order_id)
    pets = shown_pets(session, order, CUSTOMER, language, now)
    values = _of_link(session, order, pets, language, token)
    is_whole = all(pet.result.complete for pet in pets_of(session, order, now))
    if not (saved and is_whole):
        return values
    return {**values, "saved": True, "heading": form_of(session, order).title(language)}


def _saved(session: Session, token: str, sent: Mapping[str, str], language: str) -> Mapping[str, Any] | None:
    """{} when all of it was kept; what to show when something is to be corrected; None for a link to nothing."""
    now = utcnow()
    order_id = order_behind(session, token, now)
    if order_id is None:
        return None
    order = lock_order(session, order_id)
    outcome = take(session, order, sent, CUSTOMER, language, now)
    if outcome.fine:
        return {}
    values = _of_link(session, order, outcome.pets, language, token)
    return {**values, "notice": notice_of(outcome, language), "bad": True}


def notice_of(outcome: Sent, language: str) -> str:
    """What came of a form that is to be corrected, in a sentence."""
    said = words(language)
    if not outcome.pets:
        return said["none_left"]
    if outcome.refused:
        return outcome.refused[0]
    return said["saved_some"] if outcome.kept else said["again"].format(count=outcome.wrong)


def _of_link(session: Session, order: Order, pets: list[PetView], language: str, token: str) -> dict[str, Any]:
    title = form_of(session, order).title(language)
    link = f"/o/{token}"
    action = f"{link}/form?lang={language}"
    assert order.id is not None
    asks = [held.reason for held in open_holds(session, order.id) if held.code.startswith(REVIEWER_ASKS)]
    return {**values_of(order, title, pets, language, action, form_token(token)), "link": link, "asks": asks}


@page
def staff_form(visit: Visit, session: Session) -> Response:
    """`GET /orders/{order_no}/form`: the same form for staff who have asked the customer."""
    order = _order(visit, session)
    return _staff_page(visit, session, order, shown_pets(session, order, visit.name, "zh", visit.now), "")


@page
def staff_saves_form(visit: Visit, session: Session) -> Response:
    """`POST /orders/{order_no}/form`: keep it, under one's own name. What is to be corrected is shown: 422."""
    visit.must_be_allowed("fill_form")
    order = _order(visit, session)
    outcome = take(session, order, visit.form, visit.name, "zh", visit.now)
    if outcome.fine:
        return visit.go(f"/orders/{order.order_no}", "已保存,订单会自动继续。")
    response = _staff_page(visit, session, order, outcome.pets, notice_of(outcome, "zh"))
    response.status_code = 422
    return response


def _staff_page(visit: Visit, session: Session, order: Order, pets: list[PetView], notice: str) -> Response:
    base = f"/orders/{order.order_no}"
    title = form_of(session, order).title()
    values = {**values_of(order, title, pets, "zh", f"{base}/form", visit.csrf), "base": base}
    return visit.render(session, "order_form.html", {**values, "notice": notice, "bad": bool(notice)})


def _order(visit: Visit, session: Session) -> Order:
    try:
        return find_order(session, visit.request.path_params["order_no"])
    except OrderUnknown as error:
        raise HTTPException(404, str(error)) from error
