"""News of an order in our book that cannot be taken in: nothing more leaves until somebody has read it.

The news lies in quarantine. It may be a cancellation or a new address: to send on what the order said before would be
to ignore it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlmodel import Session

from models import hold
from models.fulfilment import Stage, fulfilments_of, interrupt
from models.quality import Fault
from models.quarantine import payload_of

HOLD = "unread_news_"
_HOW = "在「隔离区」里改正这一条并重新提交,或在平台上改好:读到后自动继续。与这单无关就直接放行。"


def stop(session: Session, order_id: int, raw: Any, faults: Sequence[Fault], actor: str, now: datetime) -> None:
    """Hold what has not left of this order, and take it from whoever works on it.

    Once for each version of the news (`raw`, as the channel sent it): what a person let go on is not held again by the
    same, and is by the next.
    """
    code = HOLD + hashlib.blake2s(payload_of(raw).encode(), digest_size=6).hexdigest()
    open_parts = [part.id for part in fulfilments_of(session, order_id) if part.id and not Stage(part.stage).final]
    if not open_parts or hold.ever_placed(session, order_id, code):
        return
    interrupt(session, open_parts, now)
    why = faults[0].message if faults else "读不懂"
    hold.place(session, order_id, code, f"平台上有新的变更读不进来:{why[:300]}", "客服", _HOW, actor, now)


def go_on(session: Session, order_id: int, actor: str, now: datetime) -> None:
    """The news has been taken in, or newer ones."""
    codes = [held.code for held in hold.open_holds(session, order_id) if held.code.startswith(HOLD)]
    if codes:
        hold.lift(session, order_id, actor, now, codes)
