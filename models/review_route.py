"""The way of an order through its reviews: whom the matrix asks about it as a whole, and what they have said so far.

An order goes on when every role that was asked has approved it, or given it another recipe. One person of a role
answers for all parts of an order, as long as what is asked about another part is asked of them already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlmodel import Session

from models import hold
from models.change import overtakes_review
from models.matrix import ROLES, USUAL_MINUTES, Asked
from models.matrix_route import AT_LAST, also_ask, whom_to_ask, why_no_recipe
from models.order import Order
from models.order_facts import MadeLine, birthday_counts_on, facts_of, facts_of_recipes, made_lines, wanted_lines
from models.recipe import AllergenInside, RecipeBook, assert_free_of_allergens
from models.review import ReviewCase, Verdict, asks, cases_of, open_case, put_aside
from models.rule_version import RuleKind
from models.rules_in_force import matrix_of, number_of, recipes_of
from models.ruling import keep_ruling

#: The hold over an order that would be made by a recipe with an allergen of its pet; it goes when that is so no more.
ALLERGEN_INSIDE = "allergen_inside"
_CHOOSE_ANOTHER = "在这个订单的审核里选「换配方」;档案填错了就在订单页改宠物档案,会重新选配方。换好后自动继续"


@dataclass(frozen=True)
class Standing:
    """Where a part of an order stands: `waits_for` are the cases that are to be decided first, or by a customer's word.

    With none, everybody who was asked has approved: `approved_by` names them.
    """

    waits_for: tuple[ReviewCase, ...] = ()
    approved_by: tuple[str, ...] = ()

    @property
    def why(self) -> str:
        """What it waits for, in words; the role is named where there are several."""
        if len(self.waits_for) == 1:
            return _reasons(self.waits_for[0])
        return "。".join(f"{ROLES.get(case.role, case.role)}:{_reasons(case)}" for case in self.waits_for)


@dataclass(frozen=True)
class _Route:
    """Who is asked about an order as it is, and what the rules alone say of it.

    `choosers` are the roles that have to choose a recipe, for the lines with the numbers `lacking`: they have none, or
    one that their pet must not have, which `forbidden` then says in words.
    """

    asked: tuple[Asked, ...]
    by_rules: tuple[Asked, ...]
    facts: dict[str, Any]
    made: tuple[MadeLine, ...] = ()
    lacking: tuple[int, ...] = ()
    choosers: frozenset[str] = field(default_factory=frozenset)
    forbidden: str = ""


def stand(session: Session, order: Order, fulfilment_id: int, now: datetime) -> Standing:
    """Where this part of an order stands with its reviewers. Who is not asked yet is asked now.

    The order's fulfilments must be locked. What the rules say is kept when it is first acted upon. Twice: the same
    cases. While a line is made by a recipe that its pet must not have, the order is held, and somebody is asked for
    another recipe, whatever was approved.
    """
    assert order.id is not None
    cases = _those_that_count(session, order.id)
    changes = [case for case in cases if case.verdict == Verdict.CHANGE_RECIPE.value]
    changed = {int(number) for case in changes for number in case.recipes}
    route = _route_of(session, order, changed, now)
    known = {case.id for case in cases}
    own = {case.role: case for case in cases if case.fulfilment_id == fulfilment_id}
    others = [case for case in cases if case.fulfilment_id != fulfilment_id]
    last_change = max(changes, key=_decided_at, default=None)
    waits_for: list[ReviewCase] = []
    approved: list[ReviewCase] = []
    for asked in route.asked:
        case = _answers(session, asked, own.pop(asked.role, None), others, route, last_change)
        if case is None:
            case = open_case(
                session, order.id, fulfilment_id, asked.reasons, asked.sla_minutes, now, asked.role,
                route.lacking if asked.role in route.choosers else (),
            )  # fmt: skip
        (approved if case.approved else waits_for).append(case)
    for case in own.values():  # asked before, for a reason that is gone: an answer is still due
        if case.is_open and case.recipes and not route.lacking and not changed:
            put_aside(session, case)  # but for a recipe that the rules have found meanwhile
        elif case.is_open or _is_unanswered(session, case):
            waits_for.append(case)
        elif case.approved:
            approved.append(case)
    _hold_while_forbidden(session, order.id, route.forbidden, now)
    opened = any(case.id not in known for case in waits_for)
    if opened or (not waits_for and not approved):
        _keep(session, order, route, now)
    return Standing(tuple(waits_for), tuple(dict.fromkeys(case.reviewer for case in approved)))


def _reasons(case: ReviewCase) -> str:
    return ";".join(map(str, case.reasons))


def _those_that_count(session: Session, order_id: int) -> list[ReviewCase]:
    """The newest case of each part and role, oldest first; what the order has outgrown is put aside."""
    newest: dict[tuple[int, str], ReviewCase] = {}
    for case in cases_of(session, order_id):
        if case.is_open or case.verdict is not None:
            newest.pop((case.fulfilment_id, case.role), None)
            newest[case.fulfilment_id, case.role] = case
    counting = []
    for case in newest.values():
        assert case.id is not None
        if not overtakes_review(session, order_id, case.id):
            counting.append(case)
        elif case.is_open:
            put_aside(session, case)
    return counting


def _answers(
    session: Session,
    asked: Asked,
    own: ReviewCase | None,
    others: Sequence[ReviewCase],
    route: _Route,
    last_change: ReviewCase | None,
) -> ReviewCase | None:
    """The case by which a role is asked already, or has approved; None when it is to be asked (again)."""
    must_choose = asked.role in route.choosers
    if own is not None and own.is_open:
        return own
    if own is not None and own.verdict == Verdict.ASK_CUSTOMER.value:
        return own if _is_unanswered(session, own) else None
    if own is not None and own.approved and not must_choose:
        # nobody has given another recipe since
        unchanged = last_change is None or own is last_change or _decided_at(own) > _decided_at(last_change)
        return own if unchanged or set(asked.reasons) <= set(own.reasons) else None
    for case in reversed(others):
        covers = case.role == asked.role and set(asked.reasons) <= set(case.reasons)
        if covers and (case.is_open or (case.approved and not must_choose)):
            return case
    return None


def _decided_at(case: ReviewCase) -> datetime:
    assert case.decided_at is not None
    return case.decided_at


def _is_unanswered(session: Session, case: ReviewCase) -> bool:
    """Whether the reviewer has asked the customer, and the answer is still to come."""
    if case.verdict != Verdict.ASK_CUSTOMER.value:
        return False
    return any(held.code == asks(case) for held in hold.open_holds(session, case.order_id))


def _route_of(session: Session, order: Order, changed: set[int], now: datetime) -> _Route:
    """Whom the matrix asks about the order as it is, and who is asked for a recipe that the pet may have."""
    assert order.id is not None
    lines = wanted_lines(session, order.id)
    to_make = [line for line in lines if line.made_to_order]
    if not to_make:
        facts = facts_of(session, order, lines, (), ())
        asked, _ = _asked(session, order, facts)
        return _Route(asked, asked, facts)
    book = recipes_of(session, order)
    made = made_lines(session, order, to_make, book, changed, now)
    forbidden = _forbidden(made, book)
    lacking = [line for line in made if line.lacks]
    recipes = [book[code] for line in made for code in (line.made_by or (line.chosen,)) if code]
    facts = facts_of(session, order, lines, [line.pet for line in made], recipes, _why(lacking))
    asked, choosers = _asked(session, order, facts)
    route = _Route(asked, asked, facts, tuple(made), tuple(line.line.line_no for line in lacking), choosers)
    if forbidden:
        why = why_no_recipe(list(forbidden.items()))
        route = replace(
            route, asked=also_ask(asked, Asked(AT_LAST, (why,), USUAL_MINUTES)), choosers=choosers | {AT_LAST},
            lacking=tuple(sorted({*route.lacking, *forbidden})), forbidden=why,
        )  # fmt: skip
    return _without_reviewers(session, order, route, book) if changed else route


def _forbidden(made: Sequence[MadeLine], book: RecipeBook) -> dict[int, str]:
    """The numbers of the lines that are made by a recipe that their pet must not have, each with why."""
    found = {}
    for line in made:
        try:
            for code in line.made_by:
                assert_free_of_allergens(line.pet, book[code])
        except AllergenInside as inside:
            found[line.line.line_no] = str(inside).removesuffix("没有任何改变。")
    return found


def _hold_while_forbidden(session: Session, order_id: int, why: str, now: datetime) -> None:
    if why:
        hold.place(session, order_id, ALLERGEN_INSIDE, why[:500], "营养师", _CHOOSE_ANOTHER, "review", now)
    elif any(held.code == ALLERGEN_INSIDE for held in hold.open_holds(session, order_id)):
        hold.lift(session, order_id, "review", now, [ALLERGEN_INSIDE])


def _without_reviewers(session: Session, order: Order, route: _Route, book: RecipeBook) -> _Route:
    """The route, with what the rules would say had no reviewer given another recipe."""
    chosen = [book[line.chosen] for line in route.made if line.chosen]
    facts = {**route.facts, **facts_of_recipes(chosen, _why([line for line in route.made if not line.chosen]))}
    return replace(route, facts=facts, by_rules=_asked(session, order, facts)[0])


def _why(lacking: Sequence[MadeLine]) -> str:
    return why_no_recipe([(line.line.line_no, line.why) for line in lacking])


def _asked(session: Session, order: Order, facts: dict[str, Any]) -> tuple[tuple[Asked, ...], frozenset[str]]:
    """Whom the rules ask, and which of them has to choose a recipe."""
    asking = whom_to_ask(matrix_of(session, order), facts)
    return asking.asked, asking.choosers


def _keep(session: Session, order: Order, route: _Route, now: datetime) -> None:
    """Keep what the rules alone say: what a reviewer has changed stands in the case."""
    assert order.id is not None
    today = birthday_counts_on(order)
    pets = [
        {
            "line_no": made.line.line_no,
            "sku": made.line.sku,
            "grams": made.grams,
            "facts": made.pet.facts(today),
            "allergens": sorted(made.pet.allergens),
            "recipe": made.chosen,
        }
        for made in route.made
    ]
    versions = {kind.value: number_of(session, order, kind) for kind in RuleKind}
    keep_ruling(session, order.id, versions, route.facts, pets, route.by_rules, now)
