"""`/imports`: a spreadsheet of orders is uploaded, its columns are looked over and confirmed; the stack takes it in.

Nothing is worked through here: a confirmed sheet is seen by the stack, and this page shows how far that is. Cells of a
sheet are shown to people who may import it, and to nobody else.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlmodel import Session
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from integrations.portal import labels
from integrations.portal.bodies import read_form
from integrations.portal.import_columns import AMOUNTS, CHECKS, DATES, STATUSES, choices, mapping_in, options
from integrations.portal.people import Visit, check_form, page
from integrations.portal.streamed_uploads import MOST_BYTES, Kept, signed_in, streamed_upload_page
from integrations.spreadsheets import SheetWrong
from integrations.spreadsheets.arriving import remember, see
from integrations.spreadsheets.kept_sheets import SheetGone, drop, opened
from integrations.spreadsheets.order_sheet import ENCODINGS, EncodingUnclear
from integrations.spreadsheets.preview import Head, preview
from integrations.spreadsheets.rejecting import write_book, write_report
from integrations.spreadsheets.waybill_sheet import KINDS, waybill_sheet
from models import order_sheet, sheet_run
from models.database import in_transaction
from models.order_sheet import OrderSheet, SheetRefused, SheetState
from models.privacy import mask_name, mask_phone, seal, unseal
from models.sheet_wording import outcomes, reason, reasons, sentence, state_words
from models.waybill_return import returned, shops_with_orders
from models.wording import TZ

LIST = "/imports"
MOST_REJECTS = 100
DELIMITERS = {",": "逗号", ";": "分号", "\t": "制表符"}
_reading = asyncio.Semaphore(1)  # an unpacked workbook may take hundreds of megabytes


@page
def listing(visit: Visit, session: Session) -> Response:
    """`GET /imports`: the form for a file, the latest sheets, and the way to the waybills."""
    values = {
        "sheets": order_sheet.recent(session),
        "words": state_words,
        "outcomes": outcomes,
        "shops": order_sheet.shops(session),
        "shipped_shops": shops_with_orders(session),
        "encodings": ENCODINGS,
        "may": visit.may("import"),
        "most": MOST_BYTES // 1024 // 1024,
        "week_ago": (visit.now - timedelta(days=7)).astimezone(TZ).date().isoformat(),
    }
    return visit.render(session, "imports.html", values)


async def _upload(visit: Visit, kept: Kept) -> Response:
    """`POST /imports`: the file is here; look into it, keep what was seen, and go to the page that shows it."""
    try:
        row = OrderSheet(
            shop=order_sheet.shop_named(visit.text("shop", 200)),
            file_name=kept.name,
            digest=kept.digest,
            size_bytes=kept.size,
            stored=kept.stored,
            by=visit.name,
            at=visit.now,
        )
        number = await _look_into(row, _opening(visit), visit.name)
    except (SheetWrong, SheetRefused) as error:
        await asyncio.to_thread(drop, kept.stored)
        raise HTTPException(400, f"{error} 没有任何改变。") from error
    except BaseException:
        await asyncio.to_thread(drop, kept.stored)
        raise
    return visit.go(f"{LIST}/{number}", "还没有导入:请先核对每一列当作什么。")


async def _look_into(row: OrderSheet, opening: dict[str, Any], by: str) -> int:
    """Open the stored file of a sheet and keep what was seen; the sheet's number. Raises `SheetWrong`.

    Where a person has to say the encoding, the sheet keeps the beginning in each that it may be.
    """
    try:
        async with _reading:
            seen = await asyncio.to_thread(_seen, row.stored, opening)
    except EncodingUnclear as unclear:
        row.error, row.head, row.header_key = str(unclear), seal(json.dumps(unclear.samples)), ""
        return await in_transaction(lambda session: _kept(session, row))

    def keep(session: Session) -> int:
        remember(session, row, seen, opening, by)
        return _kept(session, row)

    return await in_transaction(keep)


def _seen(stored: str, opening: dict[str, Any]) -> Any:
    with opened(stored) as path:
        return see(path, opening)


def _kept(session: Session, row: OrderSheet) -> int:
    session.add(row)
    session.flush()
    assert row.id is not None
    return row.id


def _opening(visit: Visit) -> dict[str, Any]:
    """How a form says that a file is to be opened; what is left empty is found out."""
    found: dict[str, Any] = {
        "encoding": visit.text("encoding", 20),
        "delimiter": visit.form.get("delimiter", "")[:1],
        "sheet": visit.text("sheet", 100),
    }
    if row := visit.text("header_row", 4):
        if not row.isdecimal() or not int(row):
            raise HTTPException(400, "表头的行号应是 1 以上的整数。没有任何改变。")
        found["header_row"] = int(row)
    return {name: value for name, value in found.items() if value}


async def open_again(request: Request) -> Response:
    """`POST /imports/{id}/open`: open the file in another way: encoding, delimiter, sheet, row of the header."""
    visit = await signed_in(request, await read_form(request))
    if isinstance(visit, Response):
        return visit
    check_form(request, visit.form, visit.csrf)
    visit.must_be_allowed("import")
    sheet = await in_transaction(lambda session: _sheet(visit, session))
    if sheet.state != SheetState.UPLOADED.value or not sheet.stored:
        raise HTTPException(409, f"表格 #{sheet.id} {order_sheet.why_not(sheet)}")
    try:
        await _look_into(sheet, _opening(visit), visit.name)
    except (SheetWrong, SheetGone) as error:
        raise HTTPException(400, f"{error} 没有任何改变。") from error
    return visit.go(f"{LIST}/{sheet.id}", "已重新打开,请核对。")


@page
def one(visit: Visit, session: Session) -> Response:
    """`GET /imports/{id}`: the columns to be confirmed; or how far the import is; or what came of it."""
    sheet = _sheet(visit, session)
    may = visit.may("import")
    values: dict[str, Any] = {
        "sheet": sheet,
        "state": state_words(sheet),
        "told": sentence(sheet),
        "outcomes": outcomes(sheet),
        "reasons": reasons(sheet),
        "reason": reason,
        "rejects": order_sheet.rejects(session, sheet.id or 0, MOST_REJECTS),
        "most_rejects": MOST_REJECTS,
        "running": sheet.state in (SheetState.CONFIRMED.value, SheetState.RUNNING.value),
        "silent": sheet.state == SheetState.RUNNING.value and sheet_run.is_silent(sheet, visit.now),
        "before": order_sheet.imported_before(session, sheet),
        "may": may,
        "encodings": ENCODINGS,
        "delimiters": DELIMITERS,
        "samples": {},
        "columns": [],
        "kept_days": order_sheet.KEPT_FOR.days,
    }
    if may and sheet.head and not sheet.header_key:
        values["samples"] = json.loads(unseal(sheet.head))
    elif may and sheet.can_be_confirmed:
        values |= _to_confirm(visit, sheet)
    return visit.render(session, "import.html", values)


def _to_confirm(visit: Visit, sheet: OrderSheet) -> dict[str, Any]:
    head = Head.unsealed(sheet.head)
    return {
        "columns": choices(sheet, head),
        "look": preview(head, sheet.mapping, sheet.shop, visit.now),
        "options": options(),
        "checks": CHECKS,
        "statuses": STATUSES,
        "dates": DATES,
        "amounts": AMOUNTS,
        "labels": labels,
        "mask_name": mask_name,
        "mask_phone": mask_phone,
    }


@page
def act(visit: Visit, session: Session) -> Response:
    """`POST /imports/{id}`: look at other columns, try, confirm, stop, or throw away."""
    visit.must_be_allowed("import")
    sheet, what = _sheet(visit, session), visit.text("do", 20)
    number, place = sheet.id or 0, visit.request.url.path
    try:
        if what == "stop":
            return visit.go(place, sheet_run.stop(session, number, visit.name, visit.now))
        if what == "discard":
            stored = order_sheet.discard(session, number)
            answer = visit.go(LIST, f"表格 #{number} 已丢弃,文件已删除。")
            answer.background = BackgroundTask(drop, stored)
            return answer
        if what not in ("look", "try", "confirm"):
            raise HTTPException(400, "没有说要做什么。没有任何改变。")
        if not sheet.can_be_confirmed:
            raise SheetRefused(f"表格 #{number} {order_sheet.why_not(sheet)}")
        head = Head.unsealed(sheet.head)
        unknown = preview(head, sheet.mapping, sheet.shop, visit.now).unknown_statuses
        chosen = mapping_in(visit, sheet, head, unknown)
        order_sheet.choose(session, number, chosen)
        look = preview(head, chosen, sheet.shop, visit.now)
        if what == "look":
            return visit.go(f"{place}#orders", "按新的对应关系又看了一遍,还没有导入。")
        if look.problems or look.questions:
            return visit.go(place, f"还不能导入:{(look.problems + look.questions)[0]}")
        order_sheet.confirm(session, number, chosen, what == "try", visit.name, visit.now)
    except SheetRefused as error:
        raise HTTPException(409, str(error)) from error
    return visit.go(place, "开始试算,不会入库。" if what == "try" else "已确认,马上开始导入。")


@page
def rejected(visit: Visit, session: Session) -> Response:
    """`GET /imports/{id}/rejected.csv|xlsx`: the rows that were set aside, with their reasons, to be mended."""
    visit.must_be_allowed("import")
    sheet, kind = _sheet(visit, session), visit.request.path_params["kind"]
    if kind not in KINDS:
        raise HTTPException(404)
    folder = tempfile.TemporaryDirectory(prefix="orderloom-")
    path = Path(folder.name) / f"rejected.{kind}"
    try:
        table = path.with_suffix(".csv")
        write_report(table, sheet)
        if kind == "xlsx":
            write_book(path, table)
    except SheetWrong as error:
        folder.cleanup()
        raise HTTPException(400, str(error)) from error
    name = f"{Path(sheet.file_name).stem}-搁置的行.{kind}"
    answer = StreamingResponse(_pieces(path), media_type=KINDS[kind], headers=_as_file(name))
    answer.background = BackgroundTask(folder.cleanup)
    return answer


@page
def waybills(visit: Visit, session: Session) -> Response:
    """`GET /imports/waybills.csv|xlsx`: the parcels of a shop since a day, to be uploaded where the orders are from."""
    asked, kind = visit.request.query_params, visit.request.path_params["kind"]
    shop = asked.get("shop", "")[:200]
    if kind not in KINDS or shop not in shops_with_orders(session):
        raise HTTPException(404, "没有这家店的表格订单:请从「表格导入」里选择店铺。")
    try:
        since = datetime.combine(date.fromisoformat(asked.get("since", "")), datetime.min.time(), TZ)
    except ValueError:
        since = visit.now - timedelta(days=7)
    rows = returned(session, shop, since.astimezone(UTC), visit.now)
    headers = _as_file(f"发货回单-{shop}.{kind}")
    return Response(waybill_sheet(rows, kind), media_type=KINDS[kind], headers=headers)


def _as_file(name: str) -> dict[str, str]:
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(256 * 1024):
            yield piece


def _sheet(visit: Visit, session: Session) -> OrderSheet:
    try:
        return order_sheet.find(session, visit.request.path_params["sheet_id"])
    except SheetRefused as error:
        raise HTTPException(404, str(error)) from error


ROUTES = [
    Route(LIST, listing, methods=["GET"]),
    Route(LIST, streamed_upload_page("import", _upload), methods=["POST"]),
    Route("/imports/waybills.{kind}", waybills, methods=["GET"]),
    Route("/imports/{sheet_id:int}", one, methods=["GET"]),
    Route("/imports/{sheet_id:int}", act, methods=["POST"]),
    Route("/imports/{sheet_id:int}/open", open_again, methods=["POST"]),
    Route("/imports/{sheet_id:int}/rejected.{kind}", rejected, methods=["GET"]),
]
