"""Nothing is approved or made without its recipe: a part that lacks one begins again, or a person is asked first."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from models import hold
from models.fulfilment import Claim, Stage
from models.order import Order
from models.parts import Part, parts_of, rewind

ACTOR = "recipe-guard"
#: The hold about such a part begins so; the fulfilment's id follows.
APPROVED_WITHOUT_RECIPE = "approved_without_recipe_"
_AGAIN = "在订单页核对宠物档案后解除:会重新匹配配方、重新审核,再下发生产"
_OUTSIDE = "工厂或快递已经知道这一份,不能重新匹配:取消订单后重新下单,或用部署 compensate-order 退款补偿"

_LACKING = text("""
SELECT l.line_no FROM fulfilment_line p JOIN order_line l ON l.id = p.order_line_id
WHERE p.fulfilment_id = :id AND l.made_to_order AND p.recipe IS NULL ORDER BY l.line_no
""")


def lacks_recipe(session: Session, claim: Claim) -> str:
    """Which lines of the claimed part are made to order and have no recipe, in words; "" when there is none."""
    session.flush()
    numbers = session.connection().execute(_LACKING, {"id": claim.fulfilment_id}).scalars().all()
    which = "、".join(map(str, numbers))
    return f"{claim.fulfilment_no} 第 {which} 行是定制商品,却没有配方" if numbers else ""


def match_again(session: Session, claim: Claim, now: datetime) -> bool:
    """Have the claimed part begin again with matching its recipes, which `claim.stage` then says.

    False where factory or carrier know of it, or it is being compensated: nothing is changed. It must be held
    (`hold_on`). Twice: it is received.
    """
    part = _part_of(session, claim)
    if part.inside:
        rewind(session, part, now)
        claim.stage = Stage(part.row.stage)
    return part.inside


def ask_nutritionist(session: Session, claim: Claim, lacks: str, now: datetime) -> bool:
    """Hold the order of a part that lacks a recipe (`lacks`: in words); True once a person has agreed to go on.

    A part that cannot begin again any more is held until its order is cancelled or compensated.
    """
    code = f"{APPROVED_WITHOUT_RECIPE}{claim.fulfilment_id}"
    inside = _part_of(session, claim).inside
    stands = code in {one.code for one in hold.open_holds(session, claim.order_id)}
    if inside and not stands and hold.ever_placed(session, claim.order_id, code):
        return True
    hold.place(session, claim.order_id, code, lacks, "营养师", _AGAIN if inside else _OUTSIDE, ACTOR, now)
    return False


def _part_of(session: Session, claim: Claim) -> Part:
    parts = parts_of(session, session.get_one(Order, claim.order_id))
    return next(part for part in parts if part.id == claim.fulfilment_id)
