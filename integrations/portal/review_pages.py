"""`/reviews`: the open cases, the most urgent first, and the decision right there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import quote

from sqlmodel import Session, col, select
from starlette.exceptions import HTTPException
from starlette.responses import Response

from integrations.portal import labels
from integrations.portal.people import Visit, page
from models.fulfilment import FulfilmentLine
from models.order import Order, lines_of
from models.order_page import pet_answers
from models.review import VERDICT_WORDS, CaseState, ReviewCase, Verdict
from models.review import decide as enter_verdict
from models.rules_in_force import recipes_of
from models.settings import settings

#: Cases on one page; the rest follow when these are decided.
MOST_SHOWN = 50
LONGEST_NOTE = 500
VERDICTS = {verdict.value: words for verdict, words in VERDICT_WORDS.items()}


@dataclass(frozen=True)
class Goods:
    """One line of the order: what it is, the pet's answers, and the recipes matched to it."""

    title: str
    quantity: int
    paid_fen: int
    pet: dict[str, str]
    recipes: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """One open case with what the reviewer needs to know."""

    case: ReviewCase
    order: Order
    goods: tuple[Goods, ...]
    run_link: str


@page
def reviews(visit: Visit, session: Session) -> Response:
    """The open cases, due first."""
    statement = (
        select(ReviewCase, Order)
        .join(Order, col(Order.id) == col(ReviewCase.order_id))
        .where(ReviewCase.state == CaseState.OPEN.value)
        .order_by(col(ReviewCase.due_at), col(ReviewCase.id))
        .limit(MOST_SHOWN)
    )
    questions = [
        Question(case, order, _goods(session, case), run_link(case.run_id)) for case, order in session.exec(statement)
    ]
    values = {"questions": questions, "verdicts": VERDICTS, "labels": labels, "longest": LONGEST_NOTE}
    return visit.render(session, "reviews.html", values)


@page
def decide(visit: Visit, session: Session) -> Response:
    """`POST /reviews/{case_id}`: enter a verdict under one's own name. Twice or late: a sentence, nothing changes."""
    visit.must_be_allowed("decide")
    chosen = visit.form.get("verdict", "")
    if chosen not in VERDICTS:
        raise HTTPException(400, "请先选一个结论(批准、退回客户补充或拒绝),再提交。没有任何改变。")
    remark = visit.text("note", LONGEST_NOTE)
    case_id = visit.request.path_params["case_id"]
    if case_id >= 2**63:
        raise HTTPException(404, "没有这份审核:请从「待审核」列表里打开。")
    _, sentence = enter_verdict(session, case_id, Verdict(chosen), visit.name, remark, visit.now)
    return visit.go("/reviews", sentence)


def run_link(run_id: str | None) -> str:
    """Where the suspended run of a case is in the Prefect UI; "" while there is none."""
    if not run_id:
        return ""
    base = os.environ.get("ORDERLOOM_PREFECT_UI_URL") or f"http://127.0.0.1:{settings().ports.prefect}"
    return f"{base.rstrip('/')}/runs/flow-run/{quote(run_id, safe='')}"


def _goods(session: Session, case: ReviewCase) -> tuple[Goods, ...]:
    carried = session.exec(select(FulfilmentLine).where(FulfilmentLine.fulfilment_id == case.fulfilment_id))
    matched = [(part.order_line_id, part.recipe) for part in carried if part.recipe]
    book = recipes_of(session, session.get_one(Order, case.order_id)).recipes
    titles = {code: recipe.title for code, recipe in book.items()}
    return tuple(
        Goods(
            title=line.title or line.sku,
            quantity=line.quantity,
            paid_fen=line.paid_fen,
            pet=pet_answers(line.profile) if line.made_to_order else {},
            recipes=tuple(titles.get(code, code) for of, code in matched if of == line.id),
        )
        for line in lines_of(session, case.order_id)
    )
