"""Many similar reviews approved at once: which ones are meant, and what approving them comes to, one by one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from models.quality import plain
from models.review import Verdict, decide

#: As many as one run decides; the next run takes the rest.
MOST = 500

#: Each stands for anything in a reason; the second is how the report writes it.
ANYTHING = "*…"


@dataclass(frozen=True)
class Wanted:
    """Which reviews: these numbers (of orders, of cases), or every open one with this role, reason and amount.

    `reason` is a case's only reason; a `*` or `…` in it stands for anything, as in `金额 * 元,超过 500 元`.
    `up_to_fen` is the order's amount.
    """

    orders: Sequence[str] = ()
    cases: Sequence[int] = ()
    role: str = ""
    reason: str = ""
    up_to_fen: int | None = None

    @property
    def by_number(self) -> bool:
        """Whether somebody has listed them."""
        return bool(self.orders or self.cases)

    @property
    def everything(self) -> bool:
        """Whether nothing narrows it down."""
        return not (self.by_number or self.role or self.reason or self.up_to_fen is not None)


@dataclass(frozen=True)
class Found:
    """One review that is meant. `case_id` None: nobody knows the number `asked`."""

    asked: str
    case_id: int | None = None
    order_no: str = ""
    role: str = ""
    reasons: tuple[str, ...] = ()
    total_fen: int = 0
    due_at: datetime | None = None


_COLUMNS = "c.id, o.order_no, c.role, c.reasons, o.total_fen, c.due_at"
_NARROWED = """
  AND (:role = '' OR c.role = :role)
  AND (:reason = '' OR jsonb_array_length(c.reasons) = 1
       AND c.reasons->>0 LIKE :reason ESCAPE '!')
  AND (CAST(:up_to AS bigint) IS NULL OR o.total_fen <= :up_to)
"""
_OPEN = text(f"""
SELECT {_COLUMNS} FROM review_case c JOIN orders o ON o.id = c.order_id
WHERE c.state = 'open' {_NARROWED} ORDER BY c.due_at, c.id LIMIT :most
""")
#: The newest case of each part and role, decided or not: what comes too late is answered as well.
_LISTED = text(f"""
SELECT DISTINCT ON (o.order_no, c.fulfilment_id, c.role) {_COLUMNS}
FROM review_case c JOIN orders o ON o.id = c.order_id
WHERE (o.order_no = ANY(:orders) OR c.id = ANY(:cases)) {_NARROWED}
ORDER BY o.order_no, c.fulfilment_id, c.role, c.id DESC
""")


def find(session: Session, wanted: Wanted) -> list[Found]:
    """The reviews that are meant, most urgent first; those that were listed by number, known or not, in that order."""
    values = {
        "role": wanted.role,
        "reason": _pattern(wanted.reason.strip()),
        "up_to": wanted.up_to_fen,
        "most": MOST,
        "orders": [number for said in wanted.orders if plain(number := said.strip().upper())][:MOST],
        "cases": [number for number in wanted.cases if 0 < number < 2**63][:MOST],
    }
    session.flush()
    rows = session.connection().execute(_LISTED if wanted.by_number else _OPEN, values).all()
    found = [
        Found(
            asked=row.order_no,
            case_id=row.id,
            order_no=row.order_no,
            role=row.role,
            reasons=tuple(map(str, row.reasons)),
            total_fen=row.total_fen,
            due_at=row.due_at,
        )
        for row in rows
    ]
    if not wanted.by_number:
        return found
    known = {one.order_no for one in found} | {str(one.case_id) for one in found}
    listed = [*(said.strip().upper() for said in wanted.orders), *map(str, wanted.cases)]
    return [*found, *(Found(asked=said) for said in dict.fromkeys(listed) if said not in known)]


def _pattern(reason: str) -> str:
    """The reason for LIKE: what means something there is meant as it stands, but for our own sign."""
    quoted = re.sub(r"[!%_]", lambda sign: f"!{sign[0]}", reason)
    return re.sub(f"[{ANYTHING}]", "%", quoted)


def approve(session: Session, found: Found, reviewer: str, remark: str, now: datetime) -> tuple[bool, str]:
    """Approve one of them: (taken, a sentence). One that is decided, or cannot be approved, is not touched."""
    if found.case_id is None:
        return False, f"{found.asked}:没有这样的审核,或不符合所选的角色、理由、金额。"
    return decide(session, found.case_id, Verdict.APPROVE, reviewer, remark, now)
