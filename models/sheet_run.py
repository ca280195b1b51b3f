"""The import of one sheet: who works on it, how far it is, and how it ended.

A worker says that it lives with every batch; one that has been silent is taken for dead, and another goes on where
the last batch was committed, for the count of orders that are done moves in the batch's own transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, text, update
from sqlmodel import Session, col, select

from models.order_sheet import (
    KEPT_FOR,
    OrderSheet,
    Place,
    SheetRefused,
    SheetReject,
    SheetState,
    begin_anew,
    find,
    remember,
)
from models.sheet_batch import Outcome

#: A worker that has not been heard of for so long is dead.
SILENCE = timedelta(seconds=90)
#: A run that was asked for and has not begun is asked for once more after this long.
ASK_AGAIN = timedelta(minutes=10)
#: How many kinds of reasons the report tells apart.
MOST_REASONS = 200


class SheetBusy(Exception):
    """Somebody else is working on this sheet."""

    def __init__(self, sheet: OrderSheet) -> None:
        super().__init__(f"表格 #{sheet.id} 正在导入({sheet.orders_done}/{sheet.orders} 单),不用再开始一次。")
        self.english = f"Sheet #{sheet.id} is being imported ({sheet.orders_done} of {sheet.orders} orders)."


class SheetStopped(Exception):
    """The sheet is no longer ours: somebody stopped it, or took over because we were silent for too long."""

    def __init__(self, sheet_id: int) -> None:
        super().__init__(f"表格 #{sheet_id} 已被停止,或由别的进程接着做;做完的订单都算数。")
        self.english = f"Sheet #{sheet_id} was stopped or taken over; the orders that are done count."


def due(session: Session, now: datetime) -> list[tuple[int, int]]:
    """The uploaded sheets that want a run now, each with the number of that run; they are counted as asked for."""
    statement = (
        select(OrderSheet)
        .where(
            OrderSheet.place == Place.PAGE.value,
            col(OrderSheet.state).in_((SheetState.CONFIRMED.value, SheetState.RUNNING.value)),
        )
        .order_by(col(OrderSheet.confirmed_at))
        .with_for_update(skip_locked=True)
    )
    found, sheets = [], list(session.exec(statement.execution_options(populate_existing=True)))
    busy = any(sheet.state == SheetState.RUNNING.value and not is_silent(sheet, now) for sheet in sheets)
    for sheet in sheets:
        asked = sheet.run_requested_at
        if sheet.state == SheetState.RUNNING.value:
            wanted = is_silent(sheet, now) and (asked is None or now - asked > SILENCE)
        else:
            wanted = asked is None or (now - asked > ASK_AGAIN and not busy)  # else it waits for its turn
        if wanted and sheet.id is not None:
            sheet.run_requested_at, sheet.runs = now, sheet.runs + 1
            session.add(sheet)
            found.append((sheet.id, sheet.runs))
    return found


def not_asked_for(session: Session, sheet_ids: Sequence[int]) -> None:
    """The runs of these could not be made after all: they want one at once."""
    session.execute(update(OrderSheet).where(col(OrderSheet.id).in_(sheet_ids)).values(run_requested_at=None))


def is_silent(sheet: OrderSheet, now: datetime) -> bool:
    """Whether nobody works on a running sheet any more."""
    return sheet.heartbeat_at is None or now - sheet.heartbeat_at > SILENCE


def begin(session: Session, sheet_id: int, worker: str, dry_run: bool, now: datetime) -> OrderSheet:
    """Take a confirmed sheet, or one that was left half way. Raises `SheetBusy` and `SheetRefused`.

    `dry_run`: only try it, even if it was confirmed for good.
    """
    sheet = find(session, sheet_id, lock=True)
    if sheet.state == SheetState.RUNNING.value and not is_silent(sheet, now):
        raise SheetBusy(sheet)
    if not sheet.mapping or not sheet.confirmed_by:
        raise SheetRefused(f"表格 #{sheet_id} 的列还没有人确认:请先在「表格导入」里核对并确认。")
    if sheet.state in _STANDS:
        raise SheetRefused(f"表格 #{sheet_id} 没有要做的:{_STANDS[sheet.state]}")
    if dry_run and not sheet.dry_run:
        begin_anew(session, sheet)
        sheet.dry_run = True
    elif sheet.dry_run:
        begin_anew(session, sheet)  # a trial has nothing to go on from
    sheet.state, sheet.worker, sheet.error = SheetState.RUNNING.value, worker, ""
    sheet.heartbeat_at, sheet.started_at, sheet.ended_at = now, sheet.started_at or now, None
    session.add(sheet)
    return sheet


_STANDS = {
    SheetState.UPLOADED.value: "还没有确认。",
    SheetState.DISCARDED.value: "已经丢弃。",
    SheetState.DONE.value: "已经做完;要再来一次请重新上传。",
    SheetState.FAILED.value: "没有导完;请在「表格导入」里再确认一次,会接着做。",
}


def hold(session: Session, sheet_id: int, worker: str, now: datetime) -> OrderSheet:
    """The sheet, locked until the transaction ends and known to be alive. Raises `SheetStopped` if it is not ours."""
    sheet = find(session, sheet_id, lock=True)
    if sheet.state != SheetState.RUNNING.value or sheet.worker != worker:
        raise SheetStopped(sheet_id)
    sheet.heartbeat_at = now
    session.add(sheet)
    return sheet


def beat(session: Session, sheet_id: int, worker: str, rows_read: int, rows: int, now: datetime) -> None:
    """Say that rows are being read: so many of about so many. Raises `SheetStopped`."""
    sheet = hold(session, sheet_id, worker, now)
    sheet.rows_read, sheet.rows = rows_read, max(rows, rows_read)


def read_all(session: Session, sheet_id: int, worker: str, rows: int, orders: int, now: datetime) -> int:
    """All rows were read, and so many orders are in them; how many of these are done already."""
    sheet = hold(session, sheet_id, worker, now)
    sheet.rows_read = sheet.rows = rows
    sheet.orders, sheet.orders_done = orders, min(sheet.orders_done, orders)
    return sheet.orders_done


def tally(
    sheet: OrderSheet, orders: int, counts: Mapping[str, int], reasons: Mapping[str, int], rows_aside: int
) -> None:
    """Add what a batch of so many orders came to; `sheet` is held."""
    known = sheet.counts or {}
    added = Counter(known.get("reasons", {}))
    for reason, count in reasons.items():
        if reason in added or len(added) < MOST_REASONS:
            added[reason] += count
    sheet.counts = {
        "outcomes": dict(Counter(known.get("outcomes", {})) + Counter(counts)),
        "reasons": dict(added),
        "rows_aside": known.get("rows_aside", 0) + rows_aside,
    }
    sheet.orders_done += orders


def end(session: Session, sheet_id: int, worker: str, now: datetime) -> tuple[OrderSheet, str]:
    """It is done. Returns it with the name of the stored file that is no longer needed ("": none)."""
    sheet = hold(session, sheet_id, worker, now)
    sheet.state, sheet.ended_at, sheet.worker = SheetState.DONE.value, now, ""
    spent = "" if sheet.dry_run else sheet.stored
    if not sheet.dry_run:
        sheet.stored, sheet.head = "", b""
        if set(sheet.counts.get("outcomes", {})) - {Outcome.QUARANTINED.value}:
            remember(session, sheet, now)
    return sheet, spent


def fail(session: Session, sheet_id: int, worker: str, why: str, now: datetime) -> None:
    """It did not work out; what is done stays done, and it may be confirmed again. Raises `SheetStopped`."""
    sheet = hold(session, sheet_id, worker, now)
    sheet.state, sheet.error, sheet.ended_at, sheet.worker = SheetState.FAILED.value, why[:2_000], now, ""


def stop(session: Session, sheet_id: int, by: str, now: datetime) -> str:
    """A person stops it; the sentence for them. The batch that is being written is still written, or not at all."""
    sheet = find(session, sheet_id, lock=True)
    if sheet.state not in (SheetState.CONFIRMED.value, SheetState.RUNNING.value):
        return f"表格 #{sheet_id} 没有在处理,没有任何改变。"
    done = f"已处理 {sheet.orders_done} 单" if sheet.orders_done else "还没有处理订单"
    sheet.state, sheet.ended_at, sheet.worker = SheetState.FAILED.value, now, ""
    sheet.error = f"{by} 停止了导入,{done}。再确认一次会从这里接着做。"
    session.add(sheet)
    return f"已停止,{done}。"


def unfinished(session: Session, digest: str, shop: str, mapping: Mapping[str, Any], now: datetime) -> int | None:
    """The sheet that a command left half way with this very file, shop and mapping; None if there is none."""
    statement = select(OrderSheet).where(
        OrderSheet.digest == digest, OrderSheet.shop == shop, OrderSheet.place == Place.COMMAND.value
    )
    for sheet in session.exec(statement.order_by(col(OrderSheet.id).desc())):
        left = sheet.state == SheetState.FAILED.value or (
            sheet.state == SheetState.RUNNING.value and is_silent(sheet, now)
        )
        alike = {**sheet.mapping, "confirmed_by": ""} == {**mapping, "confirmed_by": ""}
        if left and alike and not sheet.dry_run and sheet.orders_done:
            return sheet.id
    return None


def clean(session: Session, now: datetime) -> list[str]:
    """Forget the files and rows of sheets that nobody came back to; the names of the stored files, to be deleted."""
    last = "greatest(at, coalesce(confirmed_at, at), coalesce(ended_at, at))"
    old = text(
        f"SELECT id FROM order_sheet WHERE {last} < :before AND state NOT IN ('confirmed', 'running')"
        " AND (stored <> '' OR head <> '' OR EXISTS (SELECT FROM sheet_reject WHERE sheet_id = order_sheet.id))"
        " FOR UPDATE SKIP LOCKED"
    )
    ids: Sequence[int] = session.connection().execute(old, {"before": now - KEPT_FOR}).scalars().all()
    if not ids:
        return []
    stored = list(session.exec(select(OrderSheet.stored).where(col(OrderSheet.id).in_(ids), OrderSheet.stored != "")))
    session.execute(delete(SheetReject).where(col(SheetReject.sheet_id).in_(ids)))
    session.execute(update(OrderSheet).where(col(OrderSheet.id).in_(ids)).values(stored="", head=b""))
    return stored


def kept_names(session: Session) -> set[str]:
    """The names of all stored files that are still needed."""
    return set(session.exec(select(OrderSheet.stored).where(OrderSheet.stored != "")))
