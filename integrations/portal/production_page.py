"""`/production`: the batches that the factory makes, how far each is, and its production sheet as PDF."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlmodel import Session, select
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from integrations.portal.people import Visit, page
from integrations.production.sheet import Sheet, SheetLine, production_sheet
from models.change import overtakes_review
from models.explain_words import WORK
from models.order import find_order
from models.product import products
from models.production import WorkOrder
from models.production_page import GONE, BatchUnknown, BatchView, batch_view, batches_in_hand, batches_since
from models.recipe import ALLERGENS, RecipeBook
from models.review import Verdict, cases_of
from models.rules_in_force import recipes_of
from models.settings import settings
from models.warehouse import Warehouse

MOST_SHOWN = 200
SHOWN_DAYS = 7

#: What the kitchen reads for the flags that the starter recipes use; a seller's own are printed as they are.
_FLAG_WORDS = {"single_protein": "单一蛋白", "hypoallergenic": "低敏"}
STATE_WORDS = {
    "open": "等同配方订单",
    "stuck": "下发不成功,会自动再试",
    "sealed": "正在下发",
    "making": "生产中",
    "failed": "有失败",
    "done": "已完工",
    "called_back": "已全部撤回",
}


@page
def batches(visit: Visit, session: Session) -> Response:
    """What is in hand, first due first; with `?all=1` everything of the last days, newest first."""
    everything = visit.request.query_params.get("all", "") == "1"
    if everything:
        views = batches_since(session, visit.now - timedelta(days=SHOWN_DAYS), MOST_SHOWN)
    else:
        views = batches_in_hand(session, MOST_SHOWN)
    values = {
        "views": views,
        "everything": everything,
        "days": SHOWN_DAYS,
        "most": MOST_SHOWN,
        "states": STATE_WORDS,
        "work_states": {state.value: words[0] for state, words in WORK.items()},
        "names": {w.code: w.name for w in session.exec(select(Warehouse))},
        "wait_minutes": settings().policy.production_batch_minutes,
    }
    return visit.render(session, "production.html", values)


@page
def sheet(visit: Visit, session: Session) -> Response:
    """`/production/{batch_no}/sheet.pdf`: the sheet of one batch as it is now; 404 for a number that is none."""
    batch_no = visit.request.path_params["batch_no"]
    try:
        view = batch_view(session, batch_no)
    except BatchUnknown as unknown:
        raise HTTPException(404, str(unknown)) from unknown
    headers = {"Content-Disposition": f'inline; filename="{view.batch.batch_no}.pdf"'}
    return Response(production_sheet(sheet_of(session, view)), media_type="application/pdf", headers=headers)


def sheet_of(session: Session, view: BatchView) -> Sheet:
    """What is printed of a batch: what is still made in it, by the version of the recipe that it is made by."""
    batch = view.batch
    making = [(work, order_no) for work, order_no in view.works if work.state not in GONE]
    book = recipes_of(session, find_order(session, view.works[0][1])) if view.works else None
    recipe = book.recipes.get(batch.recipe) if book is not None else None
    used = sorted({sku for work, _ in making for sku in work.grams})
    known = products(session, [*used, *(work.sku for work, _ in making)])
    name = {sku: product.title for sku, product in known.items()}
    place = session.exec(select(Warehouse).where(Warehouse.code == batch.warehouse)).first()
    flags = [_FLAG_WORDS.get(flag, flag) for flag in recipe.flags if flag != "special"] if recipe is not None else []
    if recipe is not None and recipe.special:
        flags.insert(0, _as_reviewed(session, making))
    return Sheet(
        batch_no=batch.batch_no,
        recipe=batch.recipe,
        recipe_title=view.recipe_title,
        recipe_version=batch.recipe_version,
        warehouse=place.name if place is not None else batch.warehouse,
        due_at=batch.due_at,
        ingredients=[(sku, name.get(sku, sku)) for sku in used],
        lines=[
            SheetLine(
                work_order_no=work.work_order_no,
                order_no=order_no,
                title=name.get(work.sku, work.sku),
                quantity=work.quantity,
                pack_g=known[work.sku].weight_g if work.sku in known else 0,
                grams=work.grams,
            )
            for work, order_no in making
        ],
        factory_no=batch.factory_no,
        allergens=_allergens(book, batch.recipe) if book is not None else [],
        flags=flags,
    )


def _as_reviewed(session: Session, making: Sequence[tuple[WorkOrder, str]]) -> str:
    """What is true of a special recipe: the seller's matrix may let it pass without a nutritionist."""
    unseen = {order_no for work, order_no in making if not _is_approved(session, work.order_id)}
    return f"特殊配方,营养师没有审核:{'、'.join(sorted(unseen))}" if unseen else "特殊配方,营养师审核已批准"


def _is_approved(session: Session, order_id: int) -> bool:
    """Whether a nutritionist's review has approved the order as it is, and nobody gave it another recipe since."""
    approved = [case for case in cases_of(session, order_id) if case.approved]
    counting = [case for case in approved if not overtakes_review(session, order_id, case.id or 0)]
    counting.sort(key=lambda case: case.decided_at or case.opened_at)
    given = [place for place, case in enumerate(counting) if case.verdict == Verdict.CHANGE_RECIPE.value]
    return any(case.role == "nutritionist" for case in counting[given[-1] if given else 0 :])


def _allergens(book: RecipeBook, recipe: str) -> list[str]:
    """What people know as an allergen and is in the recipe, by name; not every word of its ingredients' codes."""
    inside = book.inside.get(recipe, frozenset()) & book.known_allergens
    return [ALLERGENS.get(each, (each,))[0] for each in sorted(inside)]


ROUTES = [
    Route("/production", batches, methods=["GET"]),
    Route("/production/{batch_no}/sheet.pdf", sheet, methods=["GET"]),
]
