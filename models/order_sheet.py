"""Spreadsheets of orders: what was uploaded, who confirmed which column is what, and how far the import is.

A sheet goes `uploaded → confirmed → running → done`. A trial (`dry_run`) writes nothing but its report and may be
followed by the real import. The mapping that a person confirmed is proposed again for the next file of that layout.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Index, delete, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, Session, SQLModel, col, select

from models.table import big, document, key, moment, reference, sealed, words

#: How long an uploaded file and the rows that were set aside are kept: they hold people's addresses.
KEPT_FOR = timedelta(days=7)
LONGEST_SHOP = 64


class SheetState(StrEnum):
    """How far a sheet is."""

    UPLOADED = "uploaded"
    CONFIRMED = "confirmed"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    DISCARDED = "discarded"


class Place(StrEnum):
    """Who works through a sheet: the stack, for one that was uploaded on the page, or the command that was given it."""

    PAGE = "page"
    COMMAND = "command"


class SheetRefused(Exception):
    """It cannot be done with this sheet as it is; the words say why and what to do. Nothing was changed."""


class OrderSheet(SQLModel, table=True):
    """One file for one shop. `head` holds titles and first rows (sealed JSON), so that pages need not open the file.

    `stored` names the sealed file ("" where there is none, or none any more); `opening` is how it is read (encoding,
    delimiter, sheet, header row); `mapping` is the last choice of columns, confirmed once `confirmed_by` is named.
    `counts` is the report. `worker` is whoever works on it now, alive while `heartbeat_at` is young.
    """

    __tablename__ = "order_sheet"
    __table_args__ = (
        CheckConstraint(
            "state IN ('uploaded', 'confirmed', 'running', 'done', 'failed', 'discarded')", name="order_sheet_state"
        ),
        CheckConstraint("0 <= orders_done AND orders_done <= orders", name="sheet_orders_done"),
        Index("order_sheet_of_file", "digest", "shop"),
        Index("order_sheet_to_do", "state", postgresql_where=text("state IN ('confirmed', 'running')")),
    )

    id: int | None = key()
    shop: str
    file_name: str
    digest: str
    size_bytes: int = big()
    place: str = Place.PAGE.value
    stored: str = ""
    opening: dict[str, Any] = document()
    said: list[Any] = Field(default_factory=list, sa_type=document().sa_type, nullable=False)
    head: bytes = sealed()
    header_key: str = ""
    proposal: dict[str, Any] = document()
    mapping: dict[str, Any] = document()
    state: str = SheetState.UPLOADED.value
    dry_run: bool = False
    by: str
    at: datetime = moment()
    confirmed_by: str = ""
    confirmed_at: datetime | None = moment(nullable=True)
    rows: int = big()
    rows_read: int = big()
    orders: int = big()
    orders_done: int = big()
    counts: dict[str, Any] = document()
    error: str = words()
    worker: str = ""
    heartbeat_at: datetime | None = moment(nullable=True)
    run_requested_at: datetime | None = moment(nullable=True)
    runs: int = 0
    started_at: datetime | None = moment(nullable=True)
    ended_at: datetime | None = moment(nullable=True)

    @property
    def is_over(self) -> bool:
        """Whether its orders are in the book: it is of no further use."""
        return self.state == SheetState.DONE.value and not self.dry_run

    @property
    def can_be_confirmed(self) -> bool:
        """Whether a person may change the columns and confirm it (again)."""
        waits = self.state in (SheetState.UPLOADED.value, SheetState.FAILED.value)
        return bool(self.head and self.header_key) and (waits or (self.state == SheetState.DONE.value and self.dry_run))

    @property
    def share_done(self) -> float:
        """From 0 to 1: reading the rows counts for a sixth."""
        if self.is_over or self.state == SheetState.DONE.value:
            return 1.0
        if not self.orders:
            return min(1.0, self.rows_read / self.rows) / 6 if self.rows else 0.0
        return 1 / 6 + 5 / 6 * self.orders_done / self.orders


class SheetMapping(SQLModel, table=True):
    """What was confirmed, and worked, for files of one layout (see `header_key`) and shop; proposed first next time."""

    __tablename__ = "sheet_mapping"

    header_key: str = Field(primary_key=True)
    shop: str = Field(primary_key=True)
    mapping: dict[str, Any] = document()
    by: str
    at: datetime = moment()


class SheetReject(SQLModel, table=True):
    """One order of a sheet that was set aside. `secret` holds its rows and all that was said of them (sealed JSON)."""

    __tablename__ = "sheet_reject"
    __table_args__ = (Index("sheet_reject_of_sheet", "sheet_id", "id"),)

    id: int | None = key()
    sheet_id: int = reference("order_sheet.id", index=False)
    row_no: int
    channel_order_id: str
    codes: list[Any] = Field(default_factory=list, sa_type=document().sa_type, nullable=False)
    why: str = words()  # without anything that a cell says
    secret: bytes = sealed()


def find(session: Session, sheet_id: int, *, lock: bool = False) -> OrderSheet:
    """The sheet with this number. Raises `SheetRefused`."""
    known = None
    if 0 < sheet_id < 2**63:
        known = session.get(OrderSheet, sheet_id, with_for_update=lock, populate_existing=True)
    if known is None:
        raise SheetRefused(f"没有表格 #{sheet_id}:请从「表格导入」里打开。")
    return known


def shop_named(name: str) -> str:
    """The name of a shop that a sheet is for, trimmed. Raises `SheetRefused`; `/` is what sub-shops stand behind."""
    shop = name.strip()
    if not shop or len(shop) > LONGEST_SHOP or "/" in shop or not shop.isprintable():
        raise SheetRefused(f"请写明店铺名:1 到 {LONGEST_SHOP} 个字,不含「/」,例如 pdd-旗舰店。")
    return shop


def recent(session: Session, limit: int = 30) -> list[OrderSheet]:
    """The latest sheets, newest first; those that were thrown away are left out."""
    statement = select(OrderSheet).where(OrderSheet.state != SheetState.DISCARDED.value)
    return list(session.exec(statement.order_by(col(OrderSheet.id).desc()).limit(limit)))


def imported_before(session: Session, sheet: OrderSheet) -> OrderSheet | None:
    """The newest other sheet of the same content for the same shop whose orders are in the book."""
    statement = select(OrderSheet).where(
        OrderSheet.digest == sheet.digest,
        OrderSheet.shop == sheet.shop,
        OrderSheet.id != sheet.id,
        OrderSheet.state == SheetState.DONE.value,
        col(OrderSheet.dry_run).is_(False),
    )
    return session.exec(statement.order_by(col(OrderSheet.id).desc())).first()


def shops(session: Session) -> list[str]:
    """The shops that sheets were imported for, to be chosen from."""
    return sorted(set(session.exec(select(OrderSheet.shop))))


def remembered(session: Session, header_key: str, shop: str) -> SheetMapping | None:
    """What was confirmed for this layout: for this shop, else the newest of any."""
    statement = select(SheetMapping).where(SheetMapping.header_key == header_key)
    found = session.exec(statement.order_by(col(SheetMapping.shop) != shop, col(SheetMapping.at).desc()))
    return found.first()


def confirm(
    session: Session, sheet_id: int, mapping: dict[str, Any], dry_run: bool, by: str, now: datetime
) -> OrderSheet:
    """Have it imported with these columns, or tried. Raises `SheetRefused`.

    One that failed half way goes on where it was, unless the columns were changed. Twice: the second is refused.
    """
    sheet = choose(session, sheet_id, mapping)
    if dry_run or sheet.dry_run:
        begin_anew(session, sheet)
    sheet.dry_run = dry_run
    sheet.state, sheet.error = SheetState.CONFIRMED.value, ""
    sheet.confirmed_by, sheet.confirmed_at, sheet.run_requested_at = by, now, None
    session.add(sheet)
    return sheet


def choose(session: Session, sheet_id: int, mapping: dict[str, Any]) -> OrderSheet:
    """Keep another choice of columns, finished or not, for a sheet that is not confirmed. Raises `SheetRefused`.

    What an earlier run with other columns came to is forgotten: it would go on at the wrong order.
    """
    sheet = find(session, sheet_id, lock=True)
    if not sheet.can_be_confirmed:
        raise SheetRefused(f"表格 #{sheet_id} {why_not(sheet)}")
    if not same(sheet.mapping, mapping):
        begin_anew(session, sheet)
        sheet.dry_run, sheet.state, sheet.error = False, SheetState.UPLOADED.value, ""
    sheet.mapping = mapping
    session.add(sheet)
    return sheet


def why_not(sheet: OrderSheet) -> str:
    """Why a sheet cannot be confirmed now, as the end of a sentence."""
    if sheet.state in (SheetState.CONFIRMED.value, SheetState.RUNNING.value):
        return f"已由 {sheet.confirmed_by} 确认,正在排队或处理。"
    if sheet.state == SheetState.DONE.value:
        return "已经导入过了,没有任何改变。"
    if sheet.state == SheetState.DISCARDED.value or not sheet.head:
        return "的文件已经删除,请重新上传。"
    return "还没有打开,请先选编码。"


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two mappings read a file alike, whoever confirmed them."""
    return {**one, "confirmed_by": ""} == {**other, "confirmed_by": ""}


def begin_anew(session: Session, sheet: OrderSheet) -> None:
    """Forget what an earlier run of this sheet came to."""
    sheet.counts, sheet.started_at, sheet.ended_at = {}, None, None
    sheet.rows_read = sheet.orders = sheet.orders_done = 0
    session.execute(delete(SheetReject).where(col(SheetReject.sheet_id) == sheet.id))


def remember(session: Session, sheet: OrderSheet, now: datetime) -> None:
    """Propose the columns of this sheet, which worked, first for the next file of the layout. Twice: no change."""
    known = session.get(SheetMapping, (sheet.header_key, sheet.shop))
    if known is not None and same(known.mapping, sheet.mapping):
        return
    statement = insert(SheetMapping).values(
        header_key=sheet.header_key, shop=sheet.shop, mapping=sheet.mapping, by=sheet.confirmed_by, at=now
    )
    new = {"mapping": sheet.mapping, "by": sheet.confirmed_by, "at": now}
    session.connection().execute(statement.on_conflict_do_update(index_elements=["header_key", "shop"], set_=new))


def discard(session: Session, sheet_id: int) -> str:
    """Throw an upload away; the name of its stored file, to be deleted. Raises `SheetRefused` while it is worked on."""
    sheet = find(session, sheet_id, lock=True)
    if sheet.state in (SheetState.CONFIRMED.value, SheetState.RUNNING.value):
        raise SheetRefused(f"表格 #{sheet_id} 正在处理:请先停止。")
    if sheet.is_over:
        raise SheetRefused(f"表格 #{sheet_id} 的订单已经入库,记录不能删。")
    stored = sheet.stored
    begin_anew(session, sheet)
    sheet.state, sheet.stored, sheet.head, sheet.error = SheetState.DISCARDED.value, "", b"", ""
    session.add(sheet)
    return stored


def rejects(session: Session, sheet_id: int, limit: int) -> list[SheetReject]:
    """What was set aside of a sheet, by row."""
    statement = select(SheetReject).where(SheetReject.sheet_id == sheet_id)
    return list(session.exec(statement.order_by(col(SheetReject.id)).limit(limit)))


def rejects_after(session: Session, sheet_id: int, after: int, limit: int) -> list[SheetReject]:
    """The next of them, those with a larger id; for reading all of them piece by piece."""
    statement = select(SheetReject).where(SheetReject.sheet_id == sheet_id, col(SheetReject.id) > after)
    return list(session.exec(statement.order_by(col(SheetReject.id)).limit(limit)))
