"""A count of many SKUs from a sheet: shown first, then carried out once, line by line, as differences.

The preview remembers what the book held when the sheet was read. What is carried out is the *difference* found, to
whatever the book holds by then, so that sales, receipts and transfers since the preview are kept. Each line is a
transaction of its own: a process that dies half way leaves the rest open, and carrying out again goes on there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, Session, SQLModel, col, select

from models import counting
from models.product import products
from models.stock import StockItem
from models.stock_desk import MOST, OUTCOMES, StockRefused, known_warehouse
from models.stock_page import fulfilment_numbers
from models.table import big, document, key, moment, reference, words
from models.wording import local

#: One and the same file again within this time is a slip: its differences would undo what was sold since.
SAME_FILE_WITHIN = timedelta(days=1)
#: How many rows that were set aside are remembered; `count` says how many there were.
MOST_SET_ASIDE = 500


class CountState(StrEnum):
    """How far a count is."""

    PREVIEW = "preview"
    APPLYING = "applying"
    APPLIED = "applied"


class LineState(StrEnum):
    """What became of a line."""

    OPEN = "open"
    APPLIED = "applied"
    STALE = "stale"  # the shelf was counted or corrected otherwise since the preview


@dataclass(frozen=True)
class CountedRow:
    """One good row of a sheet; `row` is its number there, the first being 1."""

    row: int
    sku: str
    counted: int


@dataclass(frozen=True)
class BadRow:
    """One row that was set aside, and why."""

    row: int
    sku: str
    why: str


class StockCount(SQLModel, table=True):
    """One sheet for one warehouse. `seen_movement` is the newest row of the ledger at the preview."""

    __tablename__ = "stock_count"
    __table_args__ = (Index("stock_count_of_file", "sha256"),)

    id: int | None = key()
    at: datetime = moment()
    who: str
    file_name: str
    sha256: str
    warehouse: str = Field(foreign_key="warehouse.code")
    state: str = CountState.PREVIEW.value
    seen_movement: int = big()
    set_aside: dict[str, Any] = document()
    reason: str = words()
    begun_at: datetime | None = moment(nullable=True)
    begun_by: str = ""
    applied_at: datetime | None = moment(nullable=True)

    @property
    def bad_rows(self) -> list[BadRow]:
        """The rows that were set aside, the first `MOST_SET_ASIDE` of them."""
        return [BadRow(**row) for row in self.set_aside.get("rows", [])]

    @property
    def bad_count(self) -> int:
        """How many rows were set aside."""
        return int(self.set_aside.get("count", 0))


class StockCountLine(SQLModel, table=True):
    """One SKU of a count. `losing` are the orders that would lose their promise, as far as the preview knew."""

    __tablename__ = "stock_count_line"
    __table_args__ = (Index("stock_count_line_of_count", "count_id", "id"),)

    id: int | None = key()
    count_id: int = reference("stock_count.id", index=False)
    row_no: int
    sku: str
    counted: int = big()
    on_hand: int = big()
    reserved: int = big()
    losing: list[str] = Field(default_factory=list, sa_type=ARRAY(Text), nullable=False)
    state: str = LineState.OPEN.value
    applied_at: datetime | None = moment(nullable=True)
    before: int | None = Field(default=None, sa_type=BigInteger)
    after: int | None = Field(default=None, sa_type=BigInteger)
    outcome: dict[str, Any] = document()
    problem: str = words()

    @property
    def difference(self) -> int:
        """What was counted more (or less) than the book held at the preview."""
        return self.counted - self.on_hand

    @property
    def result(self) -> str:
        """What became of it, in a sentence; "" while it is open."""
        if self.problem:
            return self.problem
        lost = "、".join(f"{number} {OUTCOMES[what]}" for number, what in self.outcome.items())
        done = f"{self.before} → {self.after}" if self.state == LineState.APPLIED.value else ""
        return f"{done};失去预留:{lost}" if lost else done


def preview(
    session: Session,
    rows: Sequence[CountedRow],
    bad: Sequence[BadRow],
    file_name: str,
    sha256: str,
    warehouse: str | None,
    who: str,
    now: datetime,
) -> StockCount:
    """Keep what a sheet says beside what the book holds; nothing on the shelves changes. Raises `StockRefused`."""
    code = known_warehouse(session, warehouse)
    _demand_new(session, sha256, code, now)
    known = products(session, [row.sku for row in rows])
    aside, good = list(bad), []
    for row in rows:
        product = known.get(row.sku)
        if product is None:
            aside.append(BadRow(row.row, row.sku, "没有这个商品:核对编码,或先载入商品"))
        elif product.made_to_order:
            aside.append(BadRow(row.row, row.sku, "按单生产,没有库存"))
        elif row.counted > MOST:
            aside.append(BadRow(row.row, row.sku, f"数量超过 {MOST}"))
        else:
            good.append(row)
    aside.sort(key=lambda one: one.row)
    newest = session.connection().execute(text("SELECT coalesce(max(id), 0) FROM stock_movement")).scalar_one()
    count = StockCount(
        at=now,
        who=who,
        file_name=file_name[:200],
        sha256=sha256,
        warehouse=code,
        seen_movement=newest,
        set_aside={"count": len(aside), "rows": [vars(one) for one in aside[:MOST_SET_ASIDE]]},
    )
    session.add(count)
    session.flush()
    assert count.id is not None
    there = items(session, code, [row.sku for row in good])
    for row in good:
        on_hand, reserved = there.get(row.sku, (0, 0))
        losing = counting.would_lose(session, code, row.sku, row.counted) if row.counted < reserved else []
        numbers = fulfilment_numbers(session, losing)
        session.add(
            StockCountLine(
                count_id=count.id,
                row_no=row.row,
                sku=row.sku,
                counted=row.counted,
                on_hand=on_hand,
                reserved=reserved,
                losing=[numbers[id] for id in losing],
            )
        )
    session.flush()
    return count


def _demand_new(session: Session, sha256: str, warehouse: str, now: datetime) -> None:
    statement = select(StockCount).where(
        StockCount.sha256 == sha256,
        StockCount.warehouse == warehouse,
        StockCount.state != CountState.PREVIEW.value,
        col(StockCount.begun_at) > now - SAME_FILE_WITHIN,
    )
    known = session.exec(statement).first()
    if known is not None and known.begun_at is not None:
        raise StockRefused(
            f"这个文件已由 {known.begun_by} 于 {local(known.begun_at)} 写入(盘点 #{known.id}),"
            "再写一次会抹掉这之后的销售。重新盘过请填新的数量再导入。"
        )


def items(session: Session, warehouse: str, skus: Sequence[str]) -> dict[str, tuple[int, int]]:
    """By SKU: (on hand, reserved) in a warehouse now; SKUs that it never had are left out."""
    statement = select(StockItem).where(StockItem.warehouse == warehouse, col(StockItem.sku).in_(list(skus)))
    found = session.exec(statement.execution_options(populate_existing=True))
    return {item.sku: (item.on_hand, item.reserved) for item in found}


def find(session: Session, count_id: int, *, lock: bool = False) -> StockCount:
    """The count with this number. Raises `StockRefused`."""
    known = None
    if 0 < count_id < 2**63:
        known = session.get(StockCount, count_id, with_for_update=lock, populate_existing=True)
    if known is None:
        raise StockRefused(f"没有盘点 #{count_id}:请从「导入盘点」里打开。")
    return known


def lines(session: Session, count_id: int) -> list[StockCountLine]:
    """The lines of a count that change something, those that take promises away first, then by row."""
    statement = select(StockCountLine).where(
        StockCountLine.count_id == count_id, col(StockCountLine.counted) != col(StockCountLine.on_hand)
    )
    found = session.exec(statement.execution_options(populate_existing=True))
    return sorted(found, key=lambda line: (not (line.losing or line.outcome), not line.problem, line.row_no))


def unchanged(session: Session, count_id: int) -> int:
    """How many lines were counted as the book had them."""
    return _number(session, "counted = on_hand", count_id)


def left(session: Session, count_id: int) -> int:
    """How many lines that change something are not carried out yet."""
    return _number(session, "counted <> on_hand AND state = 'open'", count_id)


def recent(session: Session, limit: int = 20) -> list[StockCount]:
    """The latest counts, newest first."""
    return list(session.exec(select(StockCount).order_by(col(StockCount.id).desc()).limit(limit)))


def _number(session: Session, where: str, count_id: int) -> int:
    statement = text(f"SELECT count(*) FROM stock_count_line WHERE count_id = :count AND {where}")
    return int(session.connection().execute(statement, {"count": count_id}).scalar_one())
