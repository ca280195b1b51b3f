"""News of an order in our book that cannot be taken in: nothing more leaves until somebody has read it.

The news lies in quarantine. It may be a cancellation or a new address: to send on what the order said before would be
to ignore it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session

from models import hold
from models.fulfilment import Stage, fulfilments_of, interrupt
from models.quality import Fault

HOLD = "unread_news"
_HOW = "在「隔离区」里改正这一条并重新提交,或在平台上改好:读到后自动继续。与这单无关就直接放行。"


def stop(session: Session, order_id: int, faults: Sequence[Fault], actor: str, now: datetime) -> bool:
    """Hold what has not left of this order, and take it from whoever works on it; False when all of it has ended."""
    open_parts = [part.id for part in fulfilments_of(session, order_id) if part.id and not Stage(part.stage).final]
    if not open_parts:
        return False
    interrupt(session, open_parts, now)
    why = faults[0].message if faults else "读不懂"
    hold.place(session, order_id, HOLD, f"平台上有新的变更读不进来:{why[:300]}", "客服", _HOW, actor, now)
    return True


def go_on(session: Session, order_id: int, actor: str, now: datetime) -> None:
    """The news has been taken in."""
    hold.lift(session, order_id, actor, now, [HOLD])
