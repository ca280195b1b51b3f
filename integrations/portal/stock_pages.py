"""`/stock`: what is on the shelves of each warehouse; `/stock/{sku}`: one SKU's ledger, its holders, and the forms."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from urllib.parse import quote, urlencode

from sqlalchemy import text
from sqlmodel import Session, select
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from integrations.portal import labels, stock_import_page
from integrations.portal.people import Visit, page
from models import stock_desk, stock_page, stock_setting
from models.channel_stock import SHELVED
from models.compensation import Limits
from models.counting import CountBusy
from models.pool import StockRule
from models.product import Product
from models.quality import plain
from models.settings import settings
from models.stock import NotThere, free_everywhere, shelve
from models.stock_desk import StockRefused
from models.warehouse import Warehouse
from models.wording import TZ

PER_PAGE = 50
LONGEST_QUERY = 100
MOVEMENTS = 60
ALREADY = "刚才已经记过同样的一笔,没有重复记。确实又有一笔,请再提交一次。"
_WHOLE = re.compile(r"[+-]?\d{1,12}")


@dataclass(frozen=True)
class Filters:
    """What the list of shelves is narrowed to; empty means everything."""

    query: str
    only: str

    def link(self, **changes: str | int) -> str:
        """The address of the list with these filters, some of them changed."""
        wanted: dict[str, str | int] = {"q": self.query, "only": self.only, **changes}
        kept = {name: value for name, value in wanted.items() if value}
        return f"/stock?{urlencode(kept)}" if kept else "/stock"


@page
def shelves(visit: Visit, session: Session) -> Response:
    """A page of shelves, by SKU."""
    asked = visit.request.query_params
    only = asked.get("only", "")
    filters = Filters(asked.get("q", "").strip()[:LONGEST_QUERY], only if only in stock_page.ONLY else "")
    number = min(max(int(asked["page"]) if asked.get("page", "").isdecimal() else 1, 1), 10_000)
    found, count = stock_page.shelves(
        session, _percent(), filters.query, filters.only, PER_PAGE, PER_PAGE * (number - 1)
    )
    values = {
        "shelves": found,
        "count": count,
        "filters": filters,
        "only": stock_page.ONLY,
        "number": number,
        "more": number * PER_PAGE < count,
        "may": visit.may("stock"),
    }
    return visit.render(session, "stock.html", values)


@page
def one_sku(visit: Visit, session: Session) -> Response:
    """Everything about one SKU, and, for those who may, the forms that change it."""
    product = _product(visit, session)
    movements = stock_page.ledger(session, product.sku, MOVEMENTS)
    values = {
        "product": product,
        "shelf": stock_page.shelf_of(session, product, _percent()),
        "unit": "克" if product.unit == "g" else "件",
        "rule": session.get(StockRule, product.sku),
        "default_percent": _percent(),
        "buffer": stock_setting.buffer_words(session.get(StockRule, product.sku)),
        "short": stock_setting.short_words(session.get(StockRule, product.sku)),
        "short_words": stock_setting.WHEN_SHORT_WORDS,
        "movements": movements,
        "seen": movements[0].id if movements else 0,
        "holders": stock_page.holders(session, product.sku),
        "waiters": stock_page.waiters(session, product.sku),
        "expected": stock_page.expected(session, product.sku),
        "channels": stock_page.shown_on(session, product.sku, SHELVED, _percent()),
        "changes": stock_setting.changes_of(session, product.sku),
        "warehouses": list(session.exec(select(Warehouse).order_by(Warehouse.code))),
        "today": visit.now.astimezone(TZ).date(),
        "may": visit.may("stock") and not product.made_to_order,
        "address": path_of(product.sku),
        "longest": stock_desk.LONGEST_REASON,
        "labels": labels,
    }
    return visit.render(session, "stock_item.html", values)


@page
def change(visit: Visit, session: Session) -> Response:
    """`POST /stock/{sku}`: do one thing (`do`) to the shelves of this SKU, under one's own name."""
    visit.must_be_allowed("stock")
    sku = _product(visit, session).sku
    work = DO.get(visit.form.get("do", ""))
    if work is None:
        raise HTTPException(400, "没有说要做什么:请返回商品页再提交。没有任何改变。")
    try:
        said = work(visit, session, sku)
    except (StockRefused, NotThere, CountBusy) as error:
        raise HTTPException(400, f"{error} 没有任何改变,请返回上一页修改。") from error
    return visit.go(path_of(sku), said)


def path_of(sku: str) -> str:
    """The page of a SKU."""
    return f"/stock/{quote(sku, safe='')}"


def _receive(visit: Visit, session: Session, sku: str) -> str:
    warehouse, quantity = _field(visit, "warehouse"), _whole(visit, "quantity")
    if _again(visit, session, warehouse, sku, "receipt", quantity):
        return ALREADY
    return stock_desk.receive(session, warehouse, sku, quantity, _reason(visit), visit.name, visit.now)


def _adjust(visit: Visit, session: Session, sku: str) -> str:
    warehouse, change = _field(visit, "warehouse"), _whole(visit, "quantity")
    if _again(visit, session, warehouse, sku, "adjustment", change):
        return ALREADY
    return stock_desk.adjust(session, warehouse, sku, change, _reason(visit), visit.name, visit.now)


def _transfer(visit: Visit, session: Session, sku: str) -> str:
    from_, to, quantity = _field(visit, "warehouse"), _field(visit, "into"), _whole(visit, "quantity")
    if _again(visit, session, from_, sku, "transfer_out", -quantity):
        return ALREADY
    return stock_desk.transfer(session, sku, quantity, from_, to, _reason(visit), visit.name, visit.now)


def _count(visit: Visit, session: Session, sku: str) -> str:
    warehouse, counted = _field(visit, "warehouse"), _whole(visit, "quantity")
    limits = Limits.of(settings().policy)
    return stock_desk.count(session, warehouse, sku, counted, _reason(visit), visit.name, visit.now, limits)


def _expect(visit: Visit, session: Session, sku: str) -> str:
    try:
        day = date.fromisoformat(_field(visit, "day"))
    except ValueError as error:
        raise StockRefused("预计到货日要写成 2026-12-01 的样子。") from error
    warehouse, quantity = _field(visit, "warehouse"), _whole(visit, "quantity")
    return stock_desk.expect(session, warehouse, sku, quantity, day, _reason(visit), visit.name, visit.now)


def _drop(visit: Visit, session: Session, sku: str) -> str:
    return stock_desk.drop_expected(session, _whole(visit, "receipt"), _reason(visit), visit.name, visit.now)


def _set(visit: Visit, session: Session, sku: str) -> str:
    """The buffer and what becomes of orders, in one form; what stays as it was is left alone."""
    rule = session.get(StockRule, sku)
    kind, short = _field(visit, "kind"), _field(visit, "short") or None
    if kind not in ("default", "percent", "pieces") or short not in (None, *stock_setting.WHEN_SHORT_WORDS):
        raise StockRefused("请选一种缓冲。")
    number = _whole(visit, "number") if kind != "default" else None
    percent, pieces = (number, None) if kind == "percent" else (None, number)
    before = (rule.buffer_percent, rule.buffer_pieces, rule.when_short) if rule is not None else (None, None, None)
    said = []
    if (percent, pieces) != before[:2]:
        said.append(stock_setting.set_buffer(session, sku, percent, pieces, _reason(visit), visit.name, visit.now))
    if short != before[2]:
        said.append(stock_setting.set_when_short(session, sku, short, _reason(visit), visit.name, visit.now))
    return ";".join(said) or "设置没有变化。"


#: What the forms of a SKU's page may ask for.
DO: dict[str, Callable[[Visit, Session, str], str]] = {
    "receive": _receive,
    "adjust": _adjust,
    "transfer": _transfer,
    "count": _count,
    "expect": _expect,
    "drop": _drop,
    "set": _set,
}


def _again(visit: Visit, session: Session, warehouse: str, sku: str, kind: str, change: int) -> bool:
    """Whether this form was sent twice: the same person wrote the same row since the page was shown."""
    code = stock_desk.known_warehouse(session, warehouse)
    shelve(session, code, sku)
    free_everywhere(session, [sku], lock=True)  # a second press waits here for the first
    row = session.connection().execute(
        text(
            "SELECT 1 FROM stock_movement WHERE warehouse = :warehouse AND sku = :sku AND id > :seen AND kind = :kind"
            " AND actor = :who AND on_hand_change = :change LIMIT 1"
        ),
        {
            "warehouse": code,
            "sku": sku,
            "seen": _whole(visit, "seen"),
            "kind": kind,
            "who": visit.name,
            "change": change,
        },
    )
    return row.first() is not None


def _product(visit: Visit, session: Session) -> Product:
    sku = visit.request.path_params["sku"]
    product = session.get(Product, sku) if plain(sku) and "\x00" not in sku else None
    if product is None:
        raise HTTPException(404, f"没有商品 {sku[:64]}:请从「库存」里查找。")
    return product


def _percent() -> int:
    return settings().policy.default_buffer_percent


def _field(visit: Visit, name: str) -> str:
    return visit.text(name, 64)


def _reason(visit: Visit) -> str:
    return visit.text("reason", stock_desk.LONGEST_REASON)


def _whole(visit: Visit, name: str) -> int:
    """A whole number, however it was typed. Raises `StockRefused`."""
    typed = unicodedata.normalize("NFKC", visit.text(name, 20)).replace(",", "")
    if not _WHOLE.fullmatch(typed):
        raise StockRefused("数量要写整数。")
    return int(typed)


#: In the order in which they are tried: a SKU may look like anything, so it comes last.
ROUTES = [
    Route("/stock", shelves, methods=["GET"]),
    *stock_import_page.ROUTES,
    Route("/stock/{sku:path}", one_sku, methods=["GET"]),
    Route("/stock/{sku:path}", change, methods=["POST"]),
]
