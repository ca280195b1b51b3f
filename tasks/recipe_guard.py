"""The guard of recipes: what is made to order and has none is neither approved nor made."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session

from models.fulfilment import Claim, WaitingOn
from models.without_recipe import ask_nutritionist, lacks_recipe, match_again
from tasks.working import PERSON_LOOK_AGAIN, MustWait


def stopped_without_recipe(
    session: Session, claim: Claim, now: datetime, *, ask_first: bool = False
) -> MustWait | None:
    """Why the claimed part, which is held, must not go on for want of a recipe; None when it lacks none.

    To be raised once that is committed. It begins again with matching its recipes; with `ask_first`, or where factory
    or carrier know of it, a nutritionist is asked before. Twice: one hold.
    """
    lacks = lacks_recipe(session, claim)
    if not lacks:
        return None
    if ask_first and not ask_nutritionist(session, claim, lacks, now):
        return MustWait(WaitingOn.PERSON, lacks, now + PERSON_LOOK_AGAIN)
    if match_again(session, claim, now):
        return MustWait(WaitingOn.RETRY, f"{lacks}:从匹配配方重新开始", now)
    ask_nutritionist(session, claim, lacks, now)
    return MustWait(WaitingOn.PERSON, lacks, now + PERSON_LOOK_AGAIN)
