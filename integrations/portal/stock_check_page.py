"""`/stock-checks`: are these goods really there? The most urgent first, answered right there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from sqlmodel import Session, col, select
from starlette.exceptions import HTTPException
from starlette.responses import Response

from integrations.portal import labels
from integrations.portal.people import Visit, page
from models.compensation import Limits
from models.fulfilment import Fulfilment, Stage
from models.order import Order
from models.product import Product, Unit, products
from models.reservation import Reservation, ReservationState
from models.settings import settings
from models.stock_check import CheckState, StockCheck, open_checks
from models.stock_check import answer as take_answer
from models.warehouse import Warehouse

MOST_SHOWN = 200
#: Checks that are over but whose goods have not left: "not there" is still taken.
MOST_LATE = 50
LONGEST_REMARK, LONGEST_CODE = 200, 60
#: A chosen SKU of a form is a field of its own: this and the SKU.
CHOSEN = "gone:"


@dataclass(frozen=True)
class Asked:
    """One SKU of a check: what it is, and how many the order was promised, in words (`2 件`, `1500 克`)."""

    sku: str
    title: str
    quantity: str


@dataclass(frozen=True)
class Question:
    """One check with what whoever looks for the goods needs to know."""

    check: StockCheck
    order_no: str
    goods: tuple[Asked, ...]


@page
def stock_checks(visit: Visit, session: Session) -> Response:
    """The open checks of one warehouse or of all, due first; and those that were let go and have not left yet."""
    names = {w.code: w.name for w in session.exec(select(Warehouse).order_by(Warehouse.code))}
    asked = visit.request.query_params.get("warehouse", "")
    warehouse = asked if asked in names else ""
    checks = open_checks(session, warehouse, MOST_SHOWN)
    values = {
        "questions": _questions(session, checks),
        "late": _questions(session, _let_go(session, warehouse)),
        "names": names,
        "warehouse": warehouse,
        "most": MOST_SHOWN,
        "chosen": CHOSEN,
        "longest": LONGEST_REMARK,
        "labels": labels,
        "asks_when_silent": settings().policy.stock_check_silence == "ask",
    }
    return visit.render(session, "stock_checks.html", values)


@page
def answer(visit: Visit, session: Session) -> Response:
    """`POST /stock-checks/{check_id}`: there or not, under one's own name. Twice or late: a sentence, no change."""
    visit.must_be_allowed("check_stock")
    said = visit.form.get("answer", "")
    if said not in ("there", "not_there"):
        raise HTTPException(400, "请按「有货」或「没有货」。没有任何改变。")
    remark, warehouse = visit.text("remark", LONGEST_REMARK), visit.text("warehouse", LONGEST_CODE)
    check_id = visit.request.path_params["check_id"]
    check = session.get(StockCheck, check_id) if check_id < 2**63 else None
    if check is None:
        raise HTTPException(404, "没有这张核对单:请从「库存核对」列表里打开。")
    gone = [sku for sku in check.skus if CHOSEN + sku in visit.form]
    if said == "not_there" and not gone:
        raise HTTPException(400, "请勾选哪些没有货,再按「没有货」。没有任何改变。")
    limits = Limits.of(settings().policy)
    _, sentence = take_answer(
        session, check_id, said == "there", visit.name, visit.now, limits, missing=gone, remark=remark
    )
    return visit.go(_list_of(warehouse), sentence)


def _list_of(warehouse: str) -> str:
    """The list, narrowed as it was when the button was pressed."""
    return f"/stock-checks?{urlencode({'warehouse': warehouse})}" if warehouse else "/stock-checks"


def _let_go(session: Session, warehouse: str) -> list[StockCheck]:
    """Checks that nobody answered in time, or "there", of goods that have not left; the newest first."""
    before_leaving = [stage.value for stage in Stage if not stage.reached(Stage.SHIPPED)]
    statement = (
        select(StockCheck)
        .join(Fulfilment, col(Fulfilment.id) == col(StockCheck.fulfilment_id))
        .where(
            col(Fulfilment.stage).in_(before_leaving),
            col(StockCheck.state).in_([CheckState.SILENT.value, CheckState.THERE.value]),
        )
        .order_by(col(StockCheck.id).desc())
        .limit(MOST_LATE)
    )
    return list(session.exec(statement.where(StockCheck.warehouse == warehouse) if warehouse else statement))


def _questions(session: Session, checks: Sequence[StockCheck]) -> list[Question]:
    """The checks with their order numbers, titles and quantities. Reads only: nobody waits for whoever looks."""
    orders = select(Order.id, Order.order_no).where(col(Order.id).in_({check.order_id for check in checks}))
    numbers = dict(session.exec(orders).all())
    held = session.exec(
        select(Reservation.fulfilment_id, Reservation.sku, Reservation.quantity).where(
            col(Reservation.fulfilment_id).in_({check.fulfilment_id for check in checks}),
            Reservation.state == ReservationState.HELD.value,
        )
    )
    promised: dict[tuple[int, str], int] = {}
    for fulfilment_id, sku, quantity in held:
        promised[fulfilment_id, sku] = promised.get((fulfilment_id, sku), 0) + quantity
    known = products(session, sorted({sku for check in checks for sku in check.skus}))
    return [
        Question(
            check,
            numbers.get(check.order_id, ""),
            tuple(_asked(sku, known.get(sku), promised.get((check.fulfilment_id, sku), 0)) for sku in check.skus),
        )
        for check in checks
    ]


def _asked(sku: str, product: Product | None, quantity: int) -> Asked:
    unit = "克" if product is not None and product.unit == Unit.GRAM.value else "件"
    return Asked(sku, product.title if product is not None else "", f"{quantity} {unit}" if quantity else "")
