"""Carrying out a count from a sheet: once, line by line, each a transaction of its own, going on after a crash."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from models import counting
from models.compensation import Limits
from models.counting import CountBusy, Counted
from models.database import transact, utcnow
from models.stock_count import CountState, LineState, StockCount, StockCountLine, find, items, left
from models.stock_desk import well_reasoned
from models.stock_page import fulfilment_numbers
from models.wording import local

#: How often a line begins again because the shelf moved between look and count.
TRIES = 5


def begin(session: Session, count_id: int, reason: str, who: str, now: datetime) -> tuple[bool, str]:
    """Confirm a preview, or go on with a count that was left half way; (go on, a sentence). Done already: False.

    Raises `StockRefused` when there is no such count, or no reason.
    """
    count = find(session, count_id, lock=True)
    if count.state == CountState.APPLIED.value:
        assert count.begun_at is not None
        return False, f"盘点 #{count.id} 已由 {count.begun_by} 于 {local(count.begun_at)} 写入,这次没有改变任何内容。"
    if count.state == CountState.APPLYING.value:
        return True, f"盘点 #{count.id} 接着上次的地方继续写入。"
    count.reason = well_reasoned(reason)
    count.state, count.begun_at, count.begun_by = CountState.APPLYING.value, now, who
    session.add(count)
    session.flush()
    return True, f"盘点 #{count.id} 开始写入 {left(session, count_id)} 行。"


# whoever else carries it out at the same time has his own line; unchanged ones are nobody's
_NEXT = text("""
SELECT id FROM stock_count_line
WHERE count_id = :count AND id > :after AND state = 'open' AND counted <> on_hand
ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
""")


def apply_next(
    session: Session, count_id: int, after: int, who: str, now: datetime, limits: Limits
) -> StockCountLine | None:
    """Carry out the first open line behind line `after`; None when there is none. The count must have begun.

    A line whose shelf is too busy stays open and says so; one whose shelf was counted or corrected since the preview
    is left out for good.
    """
    id = session.connection().execute(_NEXT, {"count": count_id, "after": after}).scalar()
    if id is None:
        return None
    line = session.get_one(StockCountLine, id, populate_existing=True)
    count = session.get_one(StockCount, count_id)
    if _corrected_since(session, count, line.sku):
        line.state, line.problem = LineState.STALE.value, "预览之后这里又盘点或调整过,没有写入:请重新盘这一行"
    else:
        try:
            done = _count_difference(session, count, line, who, now, limits)
        except CountBusy as busy:
            line.problem = str(busy)
        else:
            numbers = fulfilment_numbers(session, list(done.gave_back))
            line.outcome = {numbers[id]: what for id, what in done.gave_back.items()}
            line.before, line.after, line.problem = done.before, done.after, ""
            line.state, line.applied_at = LineState.APPLIED.value, now
    session.add(line)
    session.flush()
    return line


def _corrected_since(session: Session, count: StockCount, sku: str) -> bool:
    row = session.connection().execute(
        text(
            "SELECT 1 FROM stock_movement WHERE warehouse = :warehouse AND sku = :sku AND id > :seen"
            " AND kind IN ('count', 'adjustment', 'not_found') LIMIT 1"
        ),
        {"warehouse": count.warehouse, "sku": sku, "seen": count.seen_movement},
    )
    return row.first() is not None


def _count_difference(
    session: Session, count: StockCount, line: StockCountLine, who: str, now: datetime, limits: Limits
) -> Counted:
    """The difference, to what is on hand now. What moves between the look and the count makes it begin again."""
    reason = f"盘点 #{count.id}:{count.reason}"
    for _ in range(TRIES):
        with session.begin_nested() as attempt:
            there = items(session, count.warehouse, [line.sku]).get(line.sku, (0, 0))[0]
            counted = max(0, there + line.difference)
            done = counting.count(session, count.warehouse, line.sku, counted, reason, who, now, limits)
            if done.before == there:
                return done
            attempt.rollback()
    raise CountBusy(count.warehouse, line.sku)


def close(session: Session, count_id: int, now: datetime) -> bool:
    """The count is over when no line is open any more; whether it is."""
    count = find(session, count_id, lock=True)
    if count.state == CountState.APPLYING.value and not left(session, count_id):
        count.state, count.applied_at = CountState.APPLIED.value, now
        session.add(count)
        session.flush()
    return count.state == CountState.APPLIED.value


def carry_out(count_id: int, who: str, limits: Limits, told: Callable[[StockCountLine], object]) -> bool:
    """Carry out every open line of a count that has begun, each in a transaction; whether it is over now.

    `told` hears of each line once it is committed. Twice, or at once: each line is carried out once.
    """
    after = 0
    while True:
        line = transact(lambda session, after=after: apply_next(session, count_id, after, who, utcnow(), limits))  # type: ignore[misc]
        if line is None:
            return transact(lambda session: close(session, count_id, utcnow()))
        assert line.id is not None
        after = line.id
        told(line)
