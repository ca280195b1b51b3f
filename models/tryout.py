"""Trying rules on an order of the past: what they would have decided otherwise than was decided then.

What was decided is kept (`models/ruling.py`) and is the baseline; it is not computed again. New recipes change facts of
an order, so the matrix is asked again where they do; a new matrix is asked about every order. A new form reads the
answers again. A table that cannot be evaluated on an order is a finding about that order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from models.decision_table import TableBroken
from models.matrix import ROLES, Matrix
from models.matrix_route import whom_to_ask, why_no_recipe
from models.order_facts import facts_of_recipes
from models.order_form import FormResult, OrderForm
from models.recipe import NoRecipe, Pet, RecipeBook, choose
from models.rule_version import RuleKind


class Change(StrEnum):
    """What can change for an order."""

    NEW_REVIEW = "new_review"
    NO_REVIEW = "no_review"
    OTHER_ROLES = "other_roles"
    OTHER_SLA = "other_sla"
    OTHER_RECIPE = "other_recipe"
    NO_RECIPE = "no_recipe"
    RECIPE_FOUND = "recipe_found"
    OTHER_COST = "other_cost"
    HELD = "held"
    FREED = "freed"


@dataclass(frozen=True)
class Rules:
    """The rules on trial, as plain data that another process can be given.

    `bodies`: kind → body, the one on trial and those in force of the other kinds. `past`: of the kind on trial, version
    number → body, for every version by which an order of the past was decided.
    """

    kind: str
    bodies: Mapping[str, Mapping[str, Any]]
    past: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class PastOrder:
    """An order of the past, as plain data. No personal data but what the form was answered, and only for a form.

    `day` is the day it was placed on (`2026-11-23`), `placed_at` the moment, both ISO. `facts`, `pets` and `route` are
    those of its ruling, None without one. `version` is the number of the version of the kind on trial that it keeps.
    `answers`: what was answered for each line that is made to order.
    """

    id: int
    order_no: str
    day: str
    placed_at: str
    version: str = ""
    facts: Mapping[str, Any] | None = None
    pets: Sequence[Mapping[str, Any]] = ()
    route: Sequence[Mapping[str, Any]] = ()
    answers: Sequence[Mapping[str, Any]] = ()


@dataclass
class Finding:
    """What the rules on trial say of one order.

    `before` and `after`: role → minutes of those who look at it. `recipes`: (before, after) of each line, "" for none.
    `cost_fen`: of the ingredients before and after, None where a price is not known. `asked`: questions of the form
    that are asked anew, each "missing" or "wrong". `changes`: what changes, in words without personal data.
    `broken`: which table could not be evaluated, and why.
    """

    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    recipes: list[tuple[str, str]] = field(default_factory=list)
    cost_fen: tuple[int, int] | None = None
    asked: dict[str, str] = field(default_factory=dict)
    changes: dict[Change, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


class Trial:
    """Rules that are ready to be asked about orders of the past."""

    def __init__(self, rules: Rules) -> None:
        """Raises `TableBroken`, `KeyError`, `TypeError` for rules that cannot be read."""
        self.kind = RuleKind(rules.kind)
        if self.kind is RuleKind.FORM:
            self.form = OrderForm(rules.bodies[RuleKind.FORM])
            self.past_forms = {number: _PastForm(body) for number, body in rules.past.items()}
            return
        self.matrix = Matrix(rules.bodies[RuleKind.MATRIX])
        if self.kind is RuleKind.RECIPES:
            self.book = RecipeBook(rules.bodies[RuleKind.RECIPES])
            self.past_books = {number: RecipeBook(body) for number, body in rules.past.items()}

    def look(self, order: PastOrder) -> Finding:
        """What would change for this order. Without a ruling only a form can say something."""
        found = Finding()
        if self.kind is RuleKind.FORM:
            self._ask_form(order, found)
        elif order.facts is not None:
            found.before = found.after = {asked["role"]: int(asked["sla_minutes"]) for asked in order.route}
            facts = self._choose_recipes(order, found) if self.kind is RuleKind.RECIPES else order.facts
            if self.kind is RuleKind.MATRIX or facts != order.facts:
                asking = whom_to_ask(self.matrix, facts)
                found.after = {asked.role: asked.sla_minutes for asked in asking.asked}
                found.broken += [f"审批矩阵:{asking.broken}"] if asking.broken else []
            _compare_reviews(found)
        return found

    def _choose_recipes(self, order: PastOrder, found: Finding) -> Mapping[str, Any]:
        """The order's facts with the recipes on trial; into `found` goes what changes of recipes and cost."""
        assert order.facts is not None
        lacking = []
        for pet in order.pets:
            code, why = self._choice(pet, order, found)
            if not code:
                lacking.append((int(pet["line_no"]), why))
            found.recipes.append((str(pet["recipe"]), code))
        _compare_recipes(found)
        self._compare_cost(order, found)
        recipes = [self.book[code] for _, code in found.recipes if code]
        return {**order.facts, **facts_of_recipes(recipes, why_no_recipe(lacking))}

    def _choice(self, kept: Mapping[str, Any], order: PastOrder, found: Finding) -> tuple[str, str]:
        facts = kept["facts"]
        allergens = frozenset(kept["allergens"])
        pet = _PetThen(str(facts["species"]), str(facts.get("staple") or ""), allergens, then=facts)
        try:
            return choose(pet, self.book, date.fromisoformat(order.day)).code, ""
        except NoRecipe as none:
            return "", str(none)
        except TableBroken as broken:
            found.broken.append(f"选配方:{broken}")
            return "", f"选配方的规则对这只宠物无法判断:{broken}"

    def _compare_cost(self, order: PastOrder, found: Finding) -> None:
        grams = [int(pet["grams"]) for pet in order.pets]
        book = self.past_books.get(order.version)
        before = _cost_fen(book, [code for code, _ in found.recipes], grams)
        after = _cost_fen(self.book, [code for _, code in found.recipes], grams)
        if not order.pets or before is None or after is None:
            return
        found.cost_fen = (before, after)
        if before != after:
            found.changes[Change.OTHER_COST] = f"{before / 100:.2f} → {after / 100:.2f} 元"

    def _ask_form(self, order: PastOrder, found: Finding) -> None:
        at = datetime.fromisoformat(order.placed_at)
        past = self.past_forms.get(order.version)
        then, now = [], []
        for answers in order.answers:
            result = self.form.check(answers, at)
            now.append(result)
            # one that went on was complete, unless somebody let it pass: asked only where it makes a difference
            differs = past is not None and (order.facts is None or past.may_have_asked(result))
            then.append(past.form.check(answers, at) if past is not None and differs else FormResult())
        for before, after in zip(then, now, strict=True):
            for name in after.asked:
                if name not in before.asked:
                    found.asked[name] = "missing" if name in after.missing else "wrong"
        if found.asked:
            found.changes[Change.HELD] = "、".join(self.form.names_of(tuple(found.asked)))
        elif not all(each.complete for each in then) and all(each.complete for each in now):
            found.changes[Change.FREED] = "不再缺答案"


class _PastForm:
    """A form by which orders of the past were asked."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.form = OrderForm(body)
        self._known = frozenset(each.name for each in self.form.fields)
        self._required = frozenset(_required_in(self.form.schema))

    def may_have_asked(self, result: FormResult) -> bool:
        """Whether this form, too, may ask what another one asks. Its own check is not cheap."""
        missing = not self._required.isdisjoint(result.missing)
        return missing or any(wrong.field in self._known for wrong in result.wrong)


def _required_in(schema: Any) -> Iterator[str]:
    """The questions that some part of a schema requires."""
    if isinstance(schema, Mapping):
        required = schema.get("required")
        yield from (name for name in required if isinstance(name, str)) if isinstance(required, list) else ()
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from _required_in(part)


@dataclass(frozen=True)
class _PetThen(Pet):
    """A pet as it was when its order was decided: the facts were kept, the birthday was not."""

    then: Mapping[str, Any] = field(default_factory=dict)

    def facts(self, today: date | None = None) -> dict[str, Any]:
        return dict(self.then)


def _compare_reviews(found: Finding) -> None:
    if found.before == found.after:
        return
    if not found.before:
        change = Change.NEW_REVIEW
    elif not found.after:
        change = Change.NO_REVIEW
    else:
        change = Change.OTHER_SLA if found.before.keys() == found.after.keys() else Change.OTHER_ROLES
    found.changes[change] = f"{_route_words(found.before)} → {_route_words(found.after)}"


def _compare_recipes(found: Finding) -> None:
    for before, after in found.recipes:
        if before == after:
            continue
        change = Change.OTHER_RECIPE if before and after else Change.RECIPE_FOUND if after else Change.NO_RECIPE
        found.changes.setdefault(change, f"{before or '无配方'} → {after or '无配方'}")


def _cost_fen(book: RecipeBook | None, codes: Sequence[str], grams: Sequence[int]) -> int | None:
    """What the ingredients of these lines cost; None where a line has no recipe, or an ingredient no price."""
    if book is None:
        return None
    lines = zip(codes, grams, strict=True)
    costs = [book.cost_fen(code, each) if code in book.recipes else None for code, each in lines]
    return None if None in costs else sum(cost for cost in costs if cost is not None)


def _route_words(route: Mapping[str, int]) -> str:
    return "、".join(f"{ROLES.get(role, role)}({minutes} 分钟)" for role, minutes in route.items()) or "直通"
