"""`/stock/import`: a sheet of counted goods is uploaded, shown beside the book, confirmed, and carried out."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from urllib.parse import quote

from sqlmodel import Session, col, select
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from integrations.portal.people import Visit, page
from integrations.portal.uploads import Upload, upload_page
from integrations.spreadsheets import SheetWrong
from integrations.spreadsheets.count_sheet import read_count_sheet
from integrations.spreadsheets.safe_csv import to_csv
from models import stock_count, stock_count_apply
from models.compensation import Limits
from models.database import in_transaction
from models.product import Product, products
from models.settings import settings
from models.stock import StockItem
from models.stock_count import CountState, StockCount
from models.stock_desk import LONGEST_REASON, StockRefused, known_warehouse
from models.warehouse import Warehouse

#: Lines shown on one page; the whole of it can be downloaded.
MOST_SHOWN = 300
#: Nobody has carried out a line for so long: it was left half way.
LEFT_AFTER = timedelta(seconds=30)
log = logging.getLogger(__name__)
_reading = asyncio.Semaphore(1)  # an unpacked sheet may take a hundred megabytes


@page
def counts(visit: Visit, session: Session) -> Response:
    """The form for a sheet, and the latest counts."""
    values = {
        "counts": stock_count.recent(session),
        "states": STATES,
        "warehouses": list(session.exec(select(Warehouse).order_by(Warehouse.code))),
        "may": visit.may("stock"),
    }
    return visit.render(session, "stock_import.html", values)


STATES = {CountState.PREVIEW.value: "未写入", CountState.APPLYING.value: "正在写入", CountState.APPLIED.value: "已写入"}


async def _upload(visit: Visit, upload: Upload) -> Response:
    """`POST /stock/import`: keep what the sheet says, and go to the page that shows it."""
    visit.must_be_allowed("stock")
    warehouse = visit.text("warehouse", 64)
    try:
        async with _reading:
            sheet = await asyncio.to_thread(read_count_sheet, upload.data)
        count = await in_transaction(
            lambda session: stock_count.preview(
                session, sheet.rows, sheet.bad, upload.name, sheet.sha256, warehouse, visit.name, visit.now
            )
        )
    except (SheetWrong, StockRefused) as error:
        raise HTTPException(400, f"{error} 没有任何改变。") from error
    return visit.go(_path(count), "还没有写入:请先核对下面会改变什么。")


upload = upload_page(_upload)


@page
def one_count(visit: Visit, session: Session) -> Response:
    """What a sheet would change; or how far carrying it out is; or what became of each line."""
    count = _count(visit, session)
    assert count.id is not None
    lines = stock_count.lines(session, count.id)
    left = stock_count.left(session, count.id)
    last = max((line.applied_at for line in lines if line.applied_at), default=count.begun_at)
    values = {
        "count": count,
        "state": STATES[count.state],
        "lines": lines[:MOST_SHOWN],
        "all_of_them": len(lines),
        "titles": {sku: p.title for sku, p in products(session, [line.sku for line in lines[:MOST_SHOWN]]).items()},
        "losing": sorted({number for line in lines for number in line.losing}),
        "lost": sum(len(line.outcome) for line in lines),
        "left": left,
        "unchanged": stock_count.unchanged(session, count.id),
        "stopped": count.state == CountState.APPLYING.value and last is not None and visit.now - last > LEFT_AFTER,
        "may": visit.may("stock"),
        "longest": LONGEST_REASON,
    }
    return visit.render(session, "stock_count.html", values)


@page
def confirm(visit: Visit, session: Session) -> Response:
    """`POST /stock/import/{id}`: carry it out after this answer, or go on with it. Done already: a sentence."""
    visit.must_be_allowed("stock")
    count = _count(visit, session)
    assert count.id is not None
    number, limits = count.id, Limits.of(settings().policy)
    try:
        go_on, sentence = stock_count_apply.begin(
            session, number, visit.text("reason", LONGEST_REASON), visit.name, visit.now
        )
    except StockRefused as error:
        raise HTTPException(400, f"{error} 没有任何改变,请返回上一页修改。") from error
    response = visit.go(_path(count), sentence)
    if go_on:
        response.background = BackgroundTask(_carry_out, number, visit.name, limits)
    return response


async def _carry_out(number: int, who: str, limits: Limits) -> None:
    """In a thread of its own; whatever stops it, the page says so and the rest can be gone on with."""
    try:
        await asyncio.to_thread(stock_count_apply.carry_out, number, who, limits, lambda line: None)
    except Exception:
        log.exception("stock count %d was left half way", number)


@page
def result(visit: Visit, session: Session) -> Response:
    """Every line of a count as a CSV file, the rows that were set aside at its end."""
    count = _count(visit, session)
    assert count.id is not None
    rows: list[list[str | int | None]] = [
        [
            line.row_no, line.sku, line.on_hand, line.counted, line.difference, "、".join(line.losing),
            line.before, line.after, line.result,
        ]
        for line in stock_count.lines(session, count.id)
    ]  # fmt: skip
    rows += [[bad.row, bad.sku, None, None, None, "", None, None, bad.why] for bad in count.bad_rows]
    header = ["行", "SKU", "预览时账面", "实盘数量", "差额", "会失去预留", "写入前", "写入后", "结果"]
    return _download(f"盘点-{count.id}.csv", to_csv(header, rows))


@page
def blank_sheet(visit: Visit, session: Session) -> Response:
    """A sheet to fill in: every SKU of a warehouse with what the book holds, and an empty column for the count."""
    try:
        code = known_warehouse(session, visit.request.query_params.get("warehouse") or None)
    except StockRefused as error:
        raise HTTPException(404, str(error)) from error
    statement = (
        select(StockItem, Product.title).join(Product, col(Product.sku) == col(StockItem.sku))
        .where(StockItem.warehouse == code).order_by(StockItem.sku)
    )  # fmt: skip
    rows: list[list[str | int | None]] = [
        [item.sku, title, item.on_hand, ""] for item, title in session.exec(statement)
    ]
    return _download(f"盘点表-{code}.csv", to_csv(["SKU", "商品", "账面数量", "实盘数量"], rows))


def _download(name: str, content: bytes) -> Response:
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    return Response(content, media_type="text/csv; charset=utf-8", headers={"Content-Disposition": disposition})


def _count(visit: Visit, session: Session) -> StockCount:
    try:
        return stock_count.find(session, visit.request.path_params["count_id"])
    except StockRefused as error:
        raise HTTPException(404, str(error)) from error


def _path(count: StockCount) -> str:
    return f"/stock/import/{count.id}"


ROUTES = [
    Route("/stock/import", counts, methods=["GET"]),
    Route("/stock/import", upload, methods=["POST"]),
    Route("/stock/import/sheet.csv", blank_sheet, methods=["GET"]),
    Route("/stock/import/{count_id:int}", one_count, methods=["GET"]),
    Route("/stock/import/{count_id:int}", confirm, methods=["POST"]),
    Route("/stock/import/{count_id:int}/result.csv", result, methods=["GET"]),
]
