"""The desk of the order form: what a customer is still asked about an order's pets, and what comes of the answers.

An order whose pet is not described whole, or described in contradictions, is held until it is; answers that complete
it let it go on by itself. Whoever answers, twice, at once or too late: the first complete answers count, and a
sentence says why others do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from models import change, hold
from models.change import ChangeKind
from models.customer_link import token_for
from models.form_words import joined, quiet
from models.fulfilment import FulfilmentLine, Stage, fulfilments_of, interrupt, wake
from models.order import Order, OrderLine, lines_of, lock_order
from models.order_form import FormResult, OrderForm
from models.parts import Part, parts_of
from models.review import REVIEWER_ASKS, cases_of
from models.rules_in_force import form_of
from models.timeline import EventKind, note

#: The hold by which an order waits for its customer's answers.
INCOMPLETE = "profile_incomplete"
#: While one of these stands, the customer may answer anew, whatever was decided by the answers before.
ASKING = (INCOMPLETE, "no_recipe", REVIEWER_ASKS)
#: Who fills in a form behind a customer's link.
CUSTOMER = "customer"
HANDLE = "客户点短信里的链接补全,或在订单页代填;补全后订单自动继续"
#: Why answers are not taken any more: to the customer, to staff, to the customer in English.
_SHOP, _SHOP_EN = "如需修改,请在下单的平台联系店铺客服。", " To change it, please ask the shop where you bought."
_CLOSED = {
    "cancelled": ("订单已经取消,不用再填。",) * 2 + ("The order is cancelled: there is nothing to fill in.",),
    "line": ("这件商品已经取消,不用再填。",) * 2 + ("This item is cancelled: there is nothing to fill in.",),
    "over": ("订单已在退款或结束,不用再填。",) * 2 + ("The order is over: there is nothing to fill in.",),
    "sent": (f"商品已经发出,不能再改。{_SHOP}", "商品已经发出,不能再改。", f"It is on its way already.{_SHOP_EN}"),
    "made": (
        f"商品已经排产,不能再改。{_SHOP}",
        "商品已经排产,不能再改;要改就取消后重新下单。",
        f"It is being made already.{_SHOP_EN}",
    ),
    "matched": (f"已按之前的答案选好配方,不能在这里改。{_SHOP}", "", f"The recipe has been chosen already.{_SHOP_EN}"),
}
_NOTHING = ("没有任何改变。", " Nothing was changed.")


class FormRefused(Exception):
    """These answers are not taken; the sentence says why, and whom to ask. Nothing was changed."""


@dataclass(frozen=True)
class Question:
    """A line of an order whose pet is asked about, and what is known of it."""

    line: OrderLine
    result: FormResult


def pets_of(session: Session, order: Order, now: datetime) -> list[Question]:
    """The lines that are made for a pet and still wanted, each with what is known of its pet."""
    assert order.id is not None
    made = [line for line in lines_of(session, order.id) if line.made_to_order]
    form = form_of(session, order) if made else None
    return [
        Question(line, form.check(line.pet, now))
        for line in made
        if form is not None and line.cancelled_quantity < line.quantity
    ]


def questions_of(session: Session, order: Order, now: datetime) -> list[Question]:
    """Those of them about which something is missing or contradictory."""
    return [pet for pet in pets_of(session, order, now) if not pet.result.complete]


def asked_in_words(form: OrderForm, questions: list[Question]) -> str:
    """What is missing and what cannot be, for staff: `缺少:体重、过敏原;品种「金毛寻回犬」与猫不符,…`."""
    told = []
    for question in questions:
        said = [wrong.why for wrong in question.result.wrong]
        if question.result.missing:
            said.insert(0, f"缺少:{'、'.join(form.names_of(question.result.missing))}")
        name = f"第 {question.line.line_no} 行 " if len(questions) > 1 else ""
        told.append(name + ";".join(said))
    return f"{form.title() or '订单表单'}{';'.join(told)}"[:500]


def ask(session: Session, order: Order, line: OrderLine, result: FormResult, now: datetime) -> str:
    """Hold the order until its customer has answered what `result` lacks of this line; why, in words.

    What other lines lack is asked along with it. Twice: one hold, saying what is asked now. A customer's link is made
    now if there is none. Call with the fulfilment held (`hold_on`).
    """
    assert order.id is not None
    lock_order(session, order.id)
    token_for(session, order.id, now)
    others = [question for question in questions_of(session, order, now) if question.line.id != line.id]
    questions = sorted([Question(line, result), *others], key=lambda question: question.line.line_no)
    reason = asked_in_words(form_of(session, order), questions)
    if _say_on_hold(session, order.id, reason):
        return reason
    hold.place(session, order.id, INCOMPLETE, reason, "客服", HANDLE, "match-recipe", now)
    here = parts_here(session, order.id)
    if len(here) > 1:
        wake(session, here[:1], now)  # the first of them tells the customer
    return reason


def parts_here(session: Session, order_id: int) -> list[int]:
    """The parts of an order that have not left us: its holds stop these, and the first of them asks the customer."""
    parts = fulfilments_of(session, order_id)
    return [part.id for part in parts if part.id is not None and not Stage(part.stage).reached(Stage.SHIPPED)]


def _say_on_hold(session: Session, order_id: int, reason: str) -> bool:
    """Have the open hold say what is asked now; False when there is none."""
    known = next((held for held in hold.open_holds(session, order_id) if held.code == INCOMPLETE), None)
    if known is not None and known.reason != reason:
        known.reason = reason
        session.add(known)
        session.flush()
    return known is not None


def round_of(session: Session, order_id: int) -> int:
    """How many times this order's customer was asked so far: each hold is a round, and is told once."""
    counted = session.connection().execute(
        text("SELECT count(*) FROM hold WHERE order_id = :order AND (code = :code OR starts_with(code, :reviewers))"),
        {"order": order_id, "code": INCOMPLETE, "reviewers": REVIEWER_ASKS},
    )
    return int(counted.scalar_one())


def why_not(session: Session, order: Order, line: OrderLine, actor: str, language: str = "zh") -> str:
    """Why answers about this line are not taken any more; "" when they are.

    A customer may answer until a recipe is chosen by the answers, and again when asked; staff until the factory or
    the carrier know of it.
    """
    code = _closed(session, order, line, by_customer=actor == CUSTOMER)
    if not code:
        return ""
    return _CLOSED[code][(0 if language == "zh" else 2) if actor == CUSTOMER else 1]


def _closed(session: Session, order: Order, line: OrderLine, *, by_customer: bool) -> str:
    assert order.id is not None
    if order.cancel_requested_at is not None:
        return "cancelled"
    if line.cancelled_quantity >= line.quantity:
        return "line"
    parts = [part for part in parts_of(session, order) if part.quantity_of(line.id or 0)]
    if not parts or any(part.ending for part in parts):
        return "over"
    if any(part.left for part in parts):
        return "sent"
    if any(part.outside for part in parts):
        return "made"
    if by_customer and _is_matched(parts, line) and not _is_asked(session, order.id):
        return "matched"
    return ""


def _is_matched(parts: list[Part], line: OrderLine) -> bool:
    return any(carried.recipe for part in parts for carried in part.carries if carried.order_line_id == line.id)


def _is_asked(session: Session, order_id: int) -> bool:
    return any(held.code.startswith(ASKING) for held in hold.open_holds(session, order_id))


def save_answers(
    session: Session, order: Order, line_no: int, answers: Mapping[str, Any], actor: str, now: datetime,
    language: str = "zh",
) -> FormResult:  # fmt: skip
    """Keep what was answered about a line's pet, if with it nothing is missing or contradictory any more.

    Returns what is known of the pet with these answers; unless that is `complete`, nothing was changed. A blank answer
    (None, or "" but for lists) takes back what was said before. `actor`: `CUSTOMER`, or a person's name. With the
    last line answered the hold is lifted and the order goes on. Twice: the same answers change nothing. Raises
    `FormRefused`.
    """
    assert order.id is not None
    order = lock_order(session, order.id)
    assert order.id is not None
    statement = select(OrderLine).where(OrderLine.order_id == order.id, OrderLine.line_no == line_no)
    line = session.exec(statement.execution_options(populate_existing=True)).first()
    if line is None or not line.made_to_order:
        raise FormRefused("没有这件定制商品,请刷新页面再试。没有任何改变。")
    if sentence := why_not(session, order, line, actor, language):
        raise FormRefused(sentence + _NOTHING[language != "zh"])
    form = form_of(session, order)
    given = {field.name: answers[field.name] for field in form.fields if field.name in answers}
    result = form.check({**line.pet, **given}, now, language)
    if not result.complete:
        return result
    before = form.check(line.pet, now).values
    kept = {name: result.values.get(name, "") for name in given}
    told = form.check(line.profile, now).values
    line.answers = {
        **line.answers,
        # what only repeats the channel is left to the channel, with the customer's own words in it
        **{name: value for name, value in kept.items() if name in line.answers or told.get(name, "") != value},
    }
    session.add(line)
    session.flush()
    changed = tuple(
        field.name for field in form.fields if before.get(field.name, "") != result.values.get(field.name, "")
    )
    if changed:
        words = form.told(line.pet, now=now)
        said = {form[name].title(): quiet(form[name], words.get(form[name].title(), "(不填)")) for name in changed}
        note(session, order.id, EventKind.PROFILE_FILLED, actor, now, line=line_no, answers=said)
        _choose_again(session, order, line, actor, now)
    _let_go(session, order, actor, now, changed=bool(changed))
    return result


def _choose_again(session: Session, order: Order, line: OrderLine, actor: str, now: datetime) -> None:
    """The pet is another: forget the recipe that was chosen for it, and what was promised for that goes back.

    What reviewers have been asked, or have approved, was about the pet as it was: they are asked anew.
    """
    assert order.id is not None
    carried = select(FulfilmentLine).where(col(FulfilmentLine.order_line_id) == line.id)
    matched = [part for part in session.exec(carried) if part.recipe is not None]
    if not matched and not any(case.is_open or case.approved for case in cases_of(session, order.id)):
        return
    for part in matched:
        part.recipe = None
        session.add(part)
    change.record(
        session, order.id, ChangeKind.LINES, {"lines": {}}, {"lines": {}, "pets": [line.line_no]}, actor, now,
        applied=not matched, grew=True,
    )  # fmt: skip
    interrupt(session, [part.fulfilment_id for part in matched], now)
    _wake_all(session, order.id, now)


def _let_go(session: Session, order: Order, actor: str, now: datetime, *, changed: bool) -> None:
    """Once nothing is asked any more, lift the hold, and with it what waits for answers."""
    assert order.id is not None
    if not _settle(session, order, actor, now):
        return
    _lift_those(session, order.id, ASKING if changed else (REVIEWER_ASKS,), actor, now)
    if changed:
        _wake_all(session, order.id, now)


def ask_no_more(session: Session, order: Order, actor: str, now: datetime, *, another_pet: bool) -> None:
    """A channel has changed the order's lines: nothing is asked any more about what is gone or was told there.

    `another_pet`: a pet is described otherwise, which answers reviewers as well. The order must be locked.
    """
    assert order.id is not None
    if another_pet:
        _lift_those(session, order.id, tuple(code for code in ASKING if code != INCOMPLETE), actor, now)
    _settle(session, order, actor, now)


def _settle(session: Session, order: Order, actor: str, now: datetime) -> bool:
    """Lift the hold once nothing is asked any more, else have it say what is left; whether nothing is."""
    assert order.id is not None
    questions = questions_of(session, order, now)
    if questions:
        _say_on_hold(session, order.id, asked_in_words(form_of(session, order), questions))
        return False
    _lift_those(session, order.id, (INCOMPLETE,), actor, now)
    return True


def _lift_those(session: Session, order_id: int, beginning: tuple[str, ...], actor: str, now: datetime) -> None:
    """Lift the holds whose codes begin so."""
    codes = [held.code for held in hold.open_holds(session, order_id) if held.code.startswith(beginning)]
    if codes:
        hold.lift(session, order_id, actor, now, codes)


def _wake_all(session: Session, order_id: int, now: datetime) -> None:
    wake(session, [part.id for part in fulfilments_of(session, order_id) if part.id is not None], now)


def fields_in_words(form: OrderForm, questions: list[Question]) -> str:
    """The questions by their titles, short enough for a message: `体重、过敏原等 4 项`."""
    names = dict.fromkeys(name for question in questions for name in form.names_of(question.result.asked))
    return joined(list(names), 2)
