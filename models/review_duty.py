"""Whose turn a review is: its role is told, reminded before the time is over, and after it another role may decide too.

Each of the three happens once to a case. Taking a case for one of them and writing down what is to be told is one
transaction (`tasks/chasing.py`), so that a killed process leaves either both or neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import text
from sqlmodel import Session, col, select

from models.effect import STAFF_MESSAGE, Effect
from models.matrix import ROLES
from models.order import Order
from models.review import CaseState, ReviewCase
from models.timeline import EventKind, note

#: May decide everything.
ADMINISTRATOR = "admin"
#: A case whose run could not be made yet is told all the same after this long: it can be decided on the staff page.
WITHOUT_A_RUN = timedelta(minutes=2)
#: Seconds between two messages of new cases to one role; what comes in between is told together by the next.
BELL_SECONDS = 10.0
#: Cases in one message; the rest follow with the next.
IN_ONE_MESSAGE = 100
#: What the robot refused is tried again for this long: somebody may be setting its key.
REFUSED_FOR = timedelta(hours=1)
#: Keys of these messages in the effect ledger begin so.
KEYS = "review-"


class Step(StrEnum):
    """What happens once to a case; the value is in the key of its message."""

    TELL = "told"
    REMIND = "reminded"
    ESCALATE = "escalated"


@dataclass(frozen=True)
class Chased:
    """One case that a message names."""

    case: ReviewCase
    order_no: str
    total_fen: int


_DUE = {
    Step.TELL: """
SELECT role, array_agg(id ORDER BY due_at, id) AS ids FROM review_case c
WHERE state = 'open' AND told_at IS NULL AND (run_id IS NOT NULL OR opened_at <= :now - :without_a_run)
  AND NOT EXISTS (SELECT 1 FROM review_case other WHERE other.role = c.role AND other.told_at > :now - :bell)
GROUP BY role ORDER BY role""",
    Step.REMIND: """
SELECT role, array_agg(id ORDER BY due_at, id) AS ids FROM review_case
WHERE state = 'open' AND told_at IS NOT NULL AND reminded_at IS NULL AND escalated_at IS NULL AND due_at > :now
  AND opened_at + (due_at - opened_at) * CAST(:percent AS float) / 100 <= :now
GROUP BY role ORDER BY role""",
    Step.ESCALATE: """
SELECT role, array_agg(id ORDER BY due_at, id) AS ids FROM review_case
WHERE state = 'open' AND escalated_at IS NULL AND due_at <= :now AND role = ANY(:roles)
GROUP BY role ORDER BY role""",
}

_LEFT = text("""
SELECT key FROM effect WHERE kind = :kind AND starts_with(key, :keys)
  AND (state IN ('intended', 'calling', 'unclear') OR state = 'refused' AND intended_at > :now - :refused_for)
  AND (lease_until IS NULL OR lease_until <= :now) ORDER BY id
""")


def may_decide(case: ReviewCase, role: str) -> bool:
    """Whether somebody of this role may decide the case: its own role, the one it was handed on to, administrators."""
    return role in (case.role, case.escalated_to or case.role, ADMINISTRATOR)


def role_word(role: str) -> str:
    """The role as people call it."""
    return "管理员" if role == ADMINISTRATOR else ROLES.get(role, role)


def due(session: Session, step: Step, percent: int, onward: Mapping[str, str], now: datetime) -> dict[str, list[int]]:
    """The cases that this step is due for at `now`, by role, the most urgent first, as many as one message takes.

    `percent` of its time after which a case is reminded of; `onward` maps a role to the one that comes next.
    """
    session.flush()
    values = {
        "now": now,
        "percent": percent,
        "roles": list(onward),
        "bell": timedelta(seconds=BELL_SECONDS),
        "without_a_run": WITHOUT_A_RUN,
    }
    found = session.connection().execute(text(_DUE[step]), values)
    return {row.role: row.ids[:IN_ONE_MESSAGE] for row in found}


def take(session: Session, step: Step, ids: Sequence[int], now: datetime, onward: str = "") -> list[Chased]:
    """Take these cases for this step, as one set, the most urgent first.

    Nothing when the first of them is decided, or taken by somebody else: the message is named after it. Others that
    are decided, or being decided right now, are left out.
    """
    done_at = getattr(ReviewCase, f"{step.value}_at")
    statement = (
        select(ReviewCase)
        .where(col(ReviewCase.id).in_(ids), ReviewCase.state == CaseState.OPEN.value, done_at.is_(None))
        .order_by(col(ReviewCase.id))
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    session.flush()
    cases = {case.id: case for case in session.exec(statement)}
    if ids[0] not in cases:
        return []
    chased = []
    for case in (cases[id] for id in ids if id in cases):
        setattr(case, f"{step.value}_at", now)
        if step is Step.ESCALATE:
            case.escalated_to = onward
            note(
                session, case.order_id, EventKind.REVIEW_ESCALATED, "review", now, case.fulfilment_id,
                role=role_word(case.role), to=role_word(onward),
            )  # fmt: skip
        session.add(case)
        order = session.get_one(Order, case.order_id)
        chased.append(Chased(case, order.order_no, order.total_fen))
    session.flush()
    return chased


def left_untold(session: Session, now: datetime) -> list[str]:
    """Keys of messages that were written down and of which nobody knows that they were sent, oldest first."""
    values = {"kind": STAFF_MESSAGE.name, "keys": KEYS, "now": now, "refused_for": REFUSED_FOR}
    found = session.connection().execute(_LEFT, values)
    return list(found.scalars())


def written_down(session: Session, key: str) -> bytes:
    """The (sealed) message under this key, as it was first written."""
    return bytes(session.exec(select(Effect).where(Effect.key == key)).one().request)
