"""The stock check: after each reservation the warehouse has some minutes to say that the goods are not there.

The order goes on meanwhile, but it does not ship before the check is over. "Not there" takes the goods off the
ledger and has the order compensated; silence lets it go, or asks a person, as the seller has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, Session, SQLModel, col, select

from models import compensation, hold
from models.compensation import Cause, Limits
from models.effect import is_known_outside
from models.fulfilment import Fulfilment, Stage, wake
from models.order import lock_order
from models.reservation import held_for, lose, release
from models.table import key, moment, reference, words
from models.timeline import EventKind, note
from models.wording import local

#: Seconds between two messages to one warehouse: its robot takes 20 a minute.
BELL_SECONDS = 3.5
#: Checks that one message names.
IN_ONE_MESSAGE = 20


class CheckState(StrEnum):
    """What came of a check."""

    OPEN = "open"
    THERE = "there"
    NOT_THERE = "not_there"
    SILENT = "silent"
    WITHDRAWN = "withdrawn"  # the order went away, or was promised something else


class StockCheck(SQLModel, table=True):
    """One question to one warehouse: are these goods really there? `skus` are those of the reservation."""

    __tablename__ = "stock_check"
    __table_args__ = (
        Index("one_open_stock_check", "fulfilment_id", unique=True, postgresql_where=text("state = 'open'")),
        Index("stock_check_open", "warehouse", "due_at", postgresql_where=text("state = 'open'")),
    )

    id: int | None = key()
    fulfilment_id: int = reference("fulfilment.id")
    order_id: int = reference("orders.id")
    warehouse: str
    skus: list[str] = Field(default_factory=list, sa_type=ARRAY(Text), nullable=False)
    state: str = CheckState.OPEN.value
    opened_at: datetime = moment()
    due_at: datetime = moment()
    announced_at: datetime | None = moment(nullable=True)
    answered_at: datetime | None = moment(nullable=True)
    answered_by: str = ""
    missing: list[str] = Field(default_factory=list, sa_type=ARRAY(Text), nullable=False)
    remark: str = words()

    @property
    def number(self) -> str:
        """What people and systems call it, e.g. `SC-118`."""
        return f"SC-{self.id}"

    @property
    def unanswered(self) -> str:
        """The code of the hold by which a person is asked when nobody answers."""
        return f"stock_check_unanswered_{self.id}"


def open_check(
    session: Session, fulfilment: Fulfilment, skus: Sequence[str], minutes: float, now: datetime
) -> StockCheck | None:
    """Begin the countdown for what was just reserved; None when the seller asks for none, or nothing is reserved."""
    assert fulfilment.id is not None
    if minutes <= 0 or not skus:
        return None
    known = open_check_of(session, fulfilment.id)
    if known is not None:
        return known
    check = StockCheck(
        fulfilment_id=fulfilment.id,
        order_id=fulfilment.order_id,
        warehouse=fulfilment.warehouse,
        skus=sorted(skus),
        opened_at=now,
        due_at=now + timedelta(minutes=minutes),
    )
    session.add(check)
    session.flush()
    note(
        session, fulfilment.order_id, EventKind.STOCK_CHECK_OPENED, "reserve-stock", now, fulfilment.id,
        check=check.number, warehouse=fulfilment.warehouse, due=local(check.due_at),
    )  # fmt: skip
    return check


def open_check_of(session: Session, fulfilment_id: int) -> StockCheck | None:
    """The check of a fulfilment that nobody has answered yet."""
    statement = select(StockCheck).where(
        StockCheck.fulfilment_id == fulfilment_id, StockCheck.state == CheckState.OPEN.value
    )
    return session.exec(statement.execution_options(populate_existing=True)).first()


def latest_check(session: Session, fulfilment_id: int) -> StockCheck | None:
    """The newest check of a fulfilment, answered or not."""
    statement = select(StockCheck).where(StockCheck.fulfilment_id == fulfilment_id).order_by(col(StockCheck.id).desc())
    return session.exec(statement.execution_options(populate_existing=True)).first()


def withdraw_check(session: Session, fulfilment_id: int, now: datetime) -> None:
    """The order went away under the check, or its promise did."""
    session.connection().execute(
        text(
            "UPDATE stock_check SET state = 'withdrawn', answered_at = :now"
            " WHERE fulfilment_id = :id AND state = 'open'"
        ),
        {"id": fulfilment_id, "now": now},
    )


def answer(
    session: Session,
    check_id: int,
    there: bool,
    who: str,
    now: datetime,
    limits: Limits,
    *,
    missing: Sequence[str] = (),
    remark: str = "",
) -> tuple[bool, str]:
    """The warehouse's word on a check; (taken, a sentence). A second answer changes nothing.

    "Not there" is taken until the parcel has left, even after the countdown: the goods named (`missing`, else all
    that the fulfilment was promised) come off the ledger, and the order is compensated.
    """
    asked = session.get(StockCheck, check_id)
    if asked is None:
        return False, f"没有核对单 SC-{check_id}:请从「库存核对」列表里打开。"
    order = lock_order(session, asked.order_id)
    session.refresh(asked, with_for_update=True)
    fulfilment = session.get_one(Fulfilment, asked.fulfilment_id, populate_existing=True)
    state = CheckState(asked.state)
    if state in (CheckState.THERE, CheckState.NOT_THERE) and (there or state is CheckState.NOT_THERE):
        assert asked.answered_at is not None
        said = "有货" if state is CheckState.THERE else "没有货"
        by = f"{asked.answered_by} 于 {local(asked.answered_at)} 答复「{said}」"
        return False, f"{asked.number}(订单 {order.order_no})已由 {by},这次没有改变任何内容。"
    if state is CheckState.WITHDRAWN:
        return False, f"{asked.number}(订单 {order.order_no})已不需要核对:订单取消或重新分配了库存。"
    if Stage(fulfilment.stage).reached(Stage.SHIPPED):
        return False, f"订单 {order.order_no} 已经发货或了结,这次答复没有改变任何内容。"
    asks_a_person = asked.unanswered in {h.code for h in hold.open_holds(session, asked.order_id)}
    if there and state is CheckState.SILENT and not asks_a_person:
        return False, f"{asked.number} 已超时并按约定放行,这次没有改变任何内容。"
    held = {r.sku for r in held_for(session, asked.fulfilment_id)}
    gone = sorted((set(missing) & set(asked.skus) or set(asked.skus)) & held)
    if not there and not gone:
        return False, f"{asked.number}(订单 {order.order_no})的原料已经投入生产,这次答复没有改变任何内容。"
    asked.state = (CheckState.THERE if there else CheckState.NOT_THERE).value
    asked.answered_at, asked.answered_by, asked.remark = now, who, remark[:300]
    asked.missing = [] if there else gone
    session.add(asked)
    session.flush()
    note(
        session, asked.order_id, EventKind.STOCK_CHECK_ANSWERED, who, now, asked.fulfilment_id,
        check=asked.number, there="有货" if there else "没有货", missing=asked.missing, remark=remark[:200],
    )  # fmt: skip
    hold.lift(session, asked.order_id, who, now, [asked.unanswered])
    if there:
        wake(session, [asked.fulfilment_id], now)
        return True, f"订单 {order.order_no}:已记下「有货」。"
    lose(session, asked.fulfilment_id, gone, who, now, f"{asked.number} 仓库查无货")
    why = f"{asked.warehouse} 查无货:{'、'.join(gone)}"
    _unreserve(session, fulfilment, who, now, why)
    _, sentence = compensation.request(session, fulfilment, Cause.NOT_THERE, why, who, now, limits)
    return True, f"订单 {order.order_no}:已记下「没有货」。{sentence}"


def _unreserve(session: Session, fulfilment: Fulfilment, who: str, now: datetime, why: str) -> None:
    """Not all of it is promised any more: declined to be compensated, it must not ship but begin again.

    In any warehouse that has all of it, unless something was packed or made for it already.
    """
    assert fulfilment.id is not None
    if not is_known_outside(session, fulfilment.order_id, fulfilment.id):
        release(session, fulfilment.id, who, now, why)
    if Stage(fulfilment.stage).reached(Stage.RESERVED):
        fulfilment.stage, fulfilment.stage_since = Stage.RECEIVED.value, now
    session.add(fulfilment)
    session.flush()


def silence(session: Session, check: StockCheck, now: datetime) -> None:
    """The countdown is over and nobody has said a word. The fulfilment must be locked."""
    check.state, check.answered_at = CheckState.SILENT.value, now
    session.add(check)
    session.flush()
    note(
        session, check.order_id, EventKind.STOCK_CHECK_ANSWERED, "stock-check", now, check.fulfilment_id,
        check=check.number, there="没有答复", missing=[],
    )  # fmt: skip


def settle_if_used_up(session: Session, fulfilment_id: int, now: datetime) -> None:
    """Everything that was reserved has gone into production: it was there, and nobody needs to look any more."""
    check = open_check_of(session, fulfilment_id)
    if check is None or held_for(session, fulfilment_id):
        return
    check.state, check.answered_at, check.answered_by = CheckState.THERE.value, now, "production"
    session.add(check)
    session.flush()
    note(
        session, check.order_id, EventKind.STOCK_CHECK_ANSWERED, "production", now, fulfilment_id,
        check=check.number, there="已投入生产", missing=[],
    )  # fmt: skip


def ring(session: Session, warehouse: str, now: datetime) -> list[StockCheck]:
    """The checks that this warehouse is to hear of now, at most so many; none if it was just told of others.

    Who gets them tells them; a message that fails leaves them in the portal's list, and to the next who rings.
    """
    turn = session.connection().execute(
        text(
            "UPDATE warehouse SET asked_at = :now WHERE code = :code"
            " AND (asked_at IS NULL OR asked_at <= CAST(:now AS timestamptz) - make_interval(secs => :bell))"
            " RETURNING 1"
        ),
        {"now": now, "code": warehouse, "bell": BELL_SECONDS},
    )
    if turn.first() is None:
        return []
    statement = (
        select(StockCheck)
        .where(
            StockCheck.warehouse == warehouse,
            StockCheck.state == CheckState.OPEN.value,
            col(StockCheck.announced_at).is_(None),
        )
        .order_by(col(StockCheck.id))
        .limit(IN_ONE_MESSAGE)
    )
    return list(session.exec(statement))


def warehouses_to_tell(session: Session) -> list[str]:
    """Warehouses with open checks that they have not heard of."""
    statement = (
        select(StockCheck.warehouse)
        .where(StockCheck.state == CheckState.OPEN.value, col(StockCheck.announced_at).is_(None))
        .distinct()
    )
    return sorted(session.exec(statement))


def announced(session: Session, check_ids: Sequence[int], now: datetime) -> None:
    """The warehouse has been told of these."""
    session.connection().execute(
        text("UPDATE stock_check SET announced_at = :now WHERE id = ANY(:ids) AND announced_at IS NULL"),
        {"now": now, "ids": list(check_ids)},
    )


def open_checks(session: Session, warehouse: str = "", limit: int = 200) -> list[StockCheck]:
    """Checks that nobody has answered, the most urgent first; of one warehouse, or of all."""
    statement = select(StockCheck).where(StockCheck.state == CheckState.OPEN.value)
    if warehouse:
        statement = statement.where(StockCheck.warehouse == warehouse)
    return list(session.exec(statement.order_by(col(StockCheck.due_at)).limit(limit)))
