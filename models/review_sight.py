"""What a reviewer sees of one case: the order, its pets, their recipes and feeding, other roles, and what was before.

No personal data: the pet's answers are those of the order form, free text is without numbers that could be a phone's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from models.allocation import made_of
from models.feeding import FeedingPlan, feeding_plan
from models.form_field import FieldKind
from models.order import Contact, Order, OrderLine
from models.order_form import OrderForm
from models.privacy import without_numbers
from models.product import products
from models.recipe import (
    AllergenInside,
    Pet,
    ProfileIncomplete,
    Recipe,
    RecipeBook,
    check_reviewer_choice,
    ingredients,
    pet_of,
    unknown_allergens,
)
from models.review import ReviewCase
from models.rule_version import RuleKind
from models.rules_in_force import form_of, number_of, recipes_of
from models.ruling import Ruling
from models.wording import TZ

#: Earlier orders that are shown.
EARLIER = 5

_EARLIER = text("""
WITH earlier AS (
  SELECT o.id FROM orders o
   WHERE o.channel = :channel AND o.shop = :shop AND o.buyer = :buyer AND :buyer <> '' AND o.id < :id
  UNION
  SELECT o.id FROM contact c JOIN orders o ON o.contact_id = c.id
   WHERE c.fingerprint = :fingerprint AND :fingerprint <> '' AND o.id < :id
  ORDER BY id DESC LIMIT :most)
SELECT o.id, o.order_no, o.placed_at, o.total_fen,
  ARRAY(SELECT DISTINCT l.recipe FROM fulfilment f JOIN fulfilment_line l ON l.fulfilment_id = f.id
        WHERE f.order_id = o.id AND l.recipe IS NOT NULL ORDER BY 1) AS recipes,
  ARRAY(SELECT DISTINCT f.stage FROM fulfilment f WHERE f.order_id = o.id ORDER BY 1) AS stages
FROM earlier e JOIN orders o ON o.id = e.id ORDER BY o.id DESC
""")


@dataclass(frozen=True)
class SeenLine:
    """One line. `pet`: the form's questions and the answers, in words; `allowed`: what the recipe may be changed to.

    `ingredients` are (title, grams in a kilogram, grams in the whole line), the most first; `unknown`: words for an
    allergen that no recipe can be said to be free of.
    """

    line_no: int
    title: str
    quantity: int
    paid_fen: int
    made_to_order: bool
    pet: Mapping[str, str]
    missing: tuple[str, ...] = ()
    recipe: Recipe | None = None
    ingredients: tuple[tuple[str, int, int], ...] = ()
    unknown: tuple[str, ...] = ()
    feeding: FeedingPlan | None = None
    allowed: tuple[Recipe, ...] = ()


@dataclass(frozen=True)
class Earlier:
    """One earlier order of the same buyer or receiver."""

    order_no: str
    placed_at: datetime
    total_fen: int
    recipes: tuple[str, ...]
    stages: tuple[str, ...]
    cases: tuple[ReviewCase, ...]


@dataclass(frozen=True)
class Sight:
    """One case with all that the reviewer needs. `rows` are the rows of the matrix that asked this role."""

    case: ReviewCase
    order: Order
    lines: tuple[SeenLine, ...]
    others: tuple[ReviewCase, ...]
    earlier: tuple[Earlier, ...]
    matrix_number: int
    rows: tuple[str, ...]
    note: str

    @property
    def changeable(self) -> tuple[SeenLine, ...]:
        """The lines whose recipe a reviewer may change."""
        return tuple(line for line in self.lines if line.allowed)


def sight_of(session: Session, case: ReviewCase, now: datetime) -> Sight:
    """What the reviewer of this case sees at `now`."""
    order = session.get_one(Order, case.order_id)
    ruling = session.get(Ruling, case.order_id)
    route = ruling.route if ruling is not None else []
    rows = tuple(row for asked in route if asked["role"] == case.role for row in asked["rows"])
    statement = select(ReviewCase).where(ReviewCase.order_id == case.order_id, col(ReviewCase.id) != case.id)
    return Sight(
        case=case,
        order=order,
        lines=_lines(session, order, case.fulfilment_id, now),
        others=tuple(session.exec(statement.order_by(col(ReviewCase.id)))),
        earlier=_earlier(session, order),
        matrix_number=number_of(session, order, RuleKind.MATRIX),
        rows=rows,
        note=quietly(order.note),
    )


def allowed_recipes(book: RecipeBook, values: Mapping[str, Any]) -> tuple[Recipe, ...]:
    """The recipes that a reviewer may give the pet of these answers, by code; none while it cannot be said."""
    try:
        pet = pet_of(values)
    except ProfileIncomplete:
        return ()
    return tuple(recipe for _, recipe in sorted(book.recipes.items()) if _may_get(pet, recipe))


def _unknown(book: RecipeBook, values: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        return tuple(map(quietly, unknown_allergens(pet_of(values), book)))
    except ProfileIncomplete:
        return ()


def _may_get(pet: Pet, recipe: Recipe) -> bool:
    if recipe.species != pet.species:
        return False
    try:
        check_reviewer_choice(pet, recipe)
    except AllergenInside:
        return False
    return True


def _lines(session: Session, order: Order, fulfilment_id: int, now: datetime) -> tuple[SeenLine, ...]:
    assert order.id is not None
    form, book = form_of(session, order), recipes_of(session, order)
    made = sorted(made_of(session, order.id, fulfilment_id), key=lambda part: part[1].line_no)
    return tuple(_line(session, form, book, line, part.quantity, recipe, now) for part, line, recipe in made)


def _line(
    session: Session,
    form: OrderForm,
    book: RecipeBook,
    line: OrderLine,
    quantity: int,
    recipe: Recipe | None,
    now: datetime,
) -> SeenLine:
    plain: dict[str, Any] = {
        "line_no": line.line_no,
        "title": line.title or line.sku,
        "quantity": quantity,
        "paid_fen": line.paid_fen,
        "made_to_order": line.made_to_order,
    }
    if not line.made_to_order:
        return SeenLine(**plain, pet={})
    result = form.check(line.pet, now)
    product = products(session, [line.sku]).get(line.sku)
    weight_g = product.weight_g if product is not None else 0
    today = now.astimezone(TZ).date()
    return SeenLine(
        **plain,
        pet=_quietly(form, form.told(line.pet, now=now)),
        missing=tuple(form.names_of(result.asked)),
        recipe=recipe,
        ingredients=_ingredients(session, recipe, weight_g, quantity) if recipe else (),
        feeding=feeding_plan(result.values, recipe, weight_g, quantity, today=today) if recipe else None,
        allowed=allowed_recipes(book, result.values),
        unknown=_unknown(book, result.values),
    )


def _quietly(form: OrderForm, told: Mapping[str, str]) -> dict[str, str]:
    """The answers, with what could be somebody's number hidden where customers write in their own words."""
    exact = {asked.title() for asked in form.fields if asked.kind in (FieldKind.DATE, FieldKind.NUMBER)}
    return {title: said if title in exact else quietly(said) for title, said in told.items()}


def quietly(text: str) -> str:
    """Free text in which no number can be somebody's; the sign for a hidden one means nothing in Markdown."""
    return without_numbers(text).replace("****", "〔号码〕")


def _ingredients(session: Session, recipe: Recipe, weight_g: int, quantity: int) -> tuple[tuple[str, int, int], ...]:
    known = products(session, list(recipe.grams_per_kg))
    grams = ingredients(recipe, weight_g, quantity)
    most_first = sorted(recipe.grams_per_kg.items(), key=lambda part: (-part[1], part[0]))
    return tuple((known[sku].title if sku in known else sku, per_kg, grams[sku]) for sku, per_kg in most_first)


def _earlier(session: Session, order: Order) -> tuple[Earlier, ...]:
    contact = session.get_one(Contact, order.contact_id)
    values = {"channel": order.channel, "shop": order.shop, "buyer": order.buyer, "id": order.id}
    found = session.connection().execute(_EARLIER, values | {"fingerprint": contact.fingerprint, "most": EARLIER}).all()
    cases: Sequence[ReviewCase] = session.exec(
        select(ReviewCase).where(col(ReviewCase.order_id).in_([row.id for row in found])).order_by(col(ReviewCase.id))
    ).all()
    return tuple(
        Earlier(
            row.order_no,
            row.placed_at,
            row.total_fen,
            tuple(row.recipes),
            tuple(row.stages),
            tuple(case for case in cases if case.order_id == row.id and case.verdict is not None),
        )
        for row in found
    )
