"""`/reviews`: the open cases, the most urgent first, and the decision right there, by the role that is asked."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import quote

from sqlalchemy import func
from sqlmodel import Session, col, select
from starlette.exceptions import HTTPException
from starlette.responses import Response

from integrations.portal.people import ROLE_WORDS, Visit, page
from models.feeding import ASSUMED_WORDS
from models.review import VERDICT_WORDS, CaseState, ReviewCase, Verdict
from models.review import decide as enter_verdict
from models.review_duty import may_decide, role_word
from models.review_sight import Sight, sight_of
from models.settings import settings

#: Cases on one page; the rest follow when these are decided.
MOST_SHOWN = 50
LONGEST_NOTE = 500
LONGEST_CODE = 80
VERDICTS = {verdict.value: words for verdict, words in VERDICT_WORDS.items()}
_RECIPE = re.compile(r"recipe_([1-9][0-9]{0,5})")


@dataclass(frozen=True)
class Question:
    """One open case with what the reviewer needs to know. `mine`: whether who is looking may decide it."""

    sight: Sight
    run_link: str
    mine: bool


@page
def reviews(visit: Visit, session: Session) -> Response:
    """The open cases, due first; `?role=` shows those of one role."""
    asked = visit.request.query_params.get("role", "")
    is_open = ReviewCase.state == CaseState.OPEN.value
    counted = session.exec(select(ReviewCase.role, func.count()).where(is_open).group_by(ReviewCase.role))
    by_role = dict(sorted(counted.all()))
    statement = select(ReviewCase).where(is_open).order_by(col(ReviewCase.due_at), col(ReviewCase.id)).limit(MOST_SHOWN)
    if asked in by_role:
        statement = statement.where(ReviewCase.role == asked)
    questions = [
        Question(sight_of(session, case, visit.now), run_link(case.run_id), may_decide(case, visit.role))
        for case in session.exec(statement)
    ]
    values = {
        "questions": questions,
        "verdicts": VERDICTS,
        "longest": LONGEST_NOTE,
        "by_role": by_role,
        "asked": asked if asked in by_role else "",
        "role_word": role_word,
        "assumed": ASSUMED_WORDS,
    }
    return visit.render(session, "reviews.html", values)


@page
def decide(visit: Visit, session: Session) -> Response:
    """`POST /reviews/{case_id}`: enter a verdict under one's own name. Twice or late: a sentence, nothing changes."""
    visit.must_be_allowed("decide")
    chosen = visit.form.get("verdict", "")
    if chosen not in VERDICTS:
        raise HTTPException(400, "请先选一个结论(批准、换配方、退回客户补充或拒绝),再提交。没有任何改变。")
    remark = visit.text("note", LONGEST_NOTE)
    case_id = visit.request.path_params["case_id"]
    if case_id >= 2**63:
        raise HTTPException(404, "没有这份审核:请从「待审核」列表里打开。")
    _must_be_asked(visit, session.get(ReviewCase, case_id))
    recipes = _recipes(visit) if chosen == Verdict.CHANGE_RECIPE.value else {}
    _, sentence = enter_verdict(session, case_id, Verdict(chosen), visit.name, remark, visit.now, recipes)
    return visit.go("/reviews", sentence)


def _must_be_asked(visit: Visit, case: ReviewCase | None) -> None:
    """Raises `HTTPException` 403 with whose review it is, when it is not this person's."""
    if case is None or may_decide(case, visit.role):
        return
    also = f"(已超时,{role_word(case.escalated_to)}也可以)" if case.escalated_to else ""
    mine = ROLE_WORDS.get(visit.role, visit.role)
    raise HTTPException(403, f"这份审核由{role_word(case.role)}{also}决定,您的角色({mine})不能决定。没有任何改变。")


def _recipes(visit: Visit) -> dict[int, str]:
    """The recipes that were chosen, by line number; fields that were left alone are none."""
    named = ((_RECIPE.fullmatch(name), name) for name in visit.form)
    chosen = {int(found[1]): visit.text(name, LONGEST_CODE) for found, name in named if found}
    return {number: code for number, code in chosen.items() if code}


def run_link(run_id: str | None) -> str:
    """Where the suspended run of a case is in the Prefect UI; "" while there is none."""
    if not run_id:
        return ""
    base = os.environ.get("ORDERLOOM_PREFECT_UI_URL") or f"http://127.0.0.1:{settings().ports.prefect}"
    return f"{base.rstrip('/')}/runs/flow-run/{quote(run_id, safe='')}"
