"""Works through a spreadsheet of orders that somebody uploaded and confirmed, or only tries what would come of it."""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed, Failed, State

from models.order_sheet import SheetRefused
from models.sheet_run import SheetBusy, SheetStopped
from models.sheet_wording import sentence, state_words
from tasks.import_board import Progress, show_report
from tasks.importing import import_sheet


@flow(name="import-orders", flow_run_name="表格 {sheet_id}", persist_result=False)
async def import_orders(sheet_id: int, dry_run: bool = False) -> State:
    """Take the orders of a confirmed sheet into the book, batch by batch; `dry_run` only says what would happen.

    What an order said before is known and left alone, so the same file twice changes nothing. What cannot enter goes
    to quarantine with its rows and reasons. The artifacts `order-import-<number>` are the report and the progress.
    """
    try:
        sheet = await import_sheet(sheet_id, Progress(sheet_id), dry_run=dry_run)
    except SheetBusy as busy:
        return Completed(name="已在处理", message=str(busy))
    except SheetStopped as stopped:
        return Completed(name="已停止", message=str(stopped))
    except SheetRefused as refused:
        return Failed(name="没有要做的", message=str(refused))
    await show_report(sheet_id)
    if sheet.error:
        return Failed(name="没有导完", message=sheet.error[:4_000])
    return Completed(name=state_words(sheet), message=sentence(sheet))
