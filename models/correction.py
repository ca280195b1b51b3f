"""Corrections: what a person changed about an order that could not enter the book, kept and applied again.

A platform tells the same order again and again. So a correction is not made once to a copy, but remembered as "this
field said that, and is to say this", and applied to every later reading that still says that; where the platform says
something new, the platform wins.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, Session, SQLModel, col, select

from models.intake import Incoming, IncomingOrder, Receiver
from models.privacy import seal, unseal
from models.quality import plain
from models.table import moment, sealed, words

#: What a person may change: fields of the order, of its receiver, and of a line by its channel line id.
ORDER_FIELDS = {"total_fen": int, "paid_fen": int, "freight_fen": int, "discount_fen": int, "note": str}
RECEIVER_FIELDS = ("name", "phone", "province", "city", "district", "detail")
LINE_FIELDS = {"sku": str, "title": str, "quantity": int, "unit_price_fen": int, "paid_fen": int}
_PATH = re.compile(r"(?:(receiver)\.(\w+)|lines\.(.+)\.(\w+)|(\w+))", re.DOTALL)

#: Field → (what it said, what it is to say).
Changes = dict[str, tuple[Any, Any]]
_ORDER: TypeAdapter[IncomingOrder] = TypeAdapter(IncomingOrder)


class NotCorrectable(Exception):
    """A field that cannot be changed like that. The text tells a person what to do."""


class Correction(SQLModel, table=True):
    """What was corrected of one channel order. `changes` is sealed JSON: addresses may be among it."""

    __tablename__ = "correction"

    channel: str = Field(primary_key=True)
    shop: str = Field(primary_key=True)
    channel_order_id: str = Field(primary_key=True)
    changes: bytes = sealed()
    by: str = words()
    at: datetime = moment()


def freeze(order: IncomingOrder) -> bytes:
    """A reading as sealed bytes; without the payload, which quarantine keeps beside it."""
    # escaped, because platforms send halves of characters that no encoding can write
    return seal(json.dumps(_ORDER.dump_python(replace(order, raw={}), warnings=False), default=str))


def thaw(frozen: bytes) -> IncomingOrder | None:
    """The reading again; None where there was none, or it is of a shape that we no longer read."""
    if not frozen:
        return None
    try:
        return _ORDER.validate_python(json.loads(unseal(frozen)))
    except ValidationError:
        return None


def fingerprint(order: IncomingOrder) -> str:
    """16 hex digits of everything that a person may change: differs when the platform has said something else of it."""
    said: list[Any] = [getattr(order, name) for name in ORDER_FIELDS]
    said += [None if order.receiver is None else [getattr(order.receiver, name) for name in RECEIVER_FIELDS]]
    said += [[line.channel_line_id, *(getattr(line, name) for name in LINE_FIELDS)] for line in order.lines]
    return hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()[:16]


def wanted(order: IncomingOrder, new: Mapping[str, Any]) -> Changes:
    """The changes that turn these fields of a reading into new values; equal ones are left out.

    Raises `NotCorrectable` for a field that may not be changed, and for a value of another type.
    """
    changes: Changes = {}
    for path, value in new.items():
        was = _value(order, path)
        if not isinstance(value, type(was)) or isinstance(value, bool):
            raise NotCorrectable(f"「{path}」的新值类型不对：应为{'整数' if isinstance(was, int) else '文字'}。")
        if was != value:
            changes[path] = (was, value)
    return changes


def keep(session: Session, order: IncomingOrder, changes: Changes, by: str, now: datetime) -> None:
    """Remember corrections of an order, beside those there are; of one field the newest."""
    name = (order.channel, order.shop, order.channel_order_id)
    merged = among(session, [name]).get(name, {})
    for path, (was, value) in changes.items():
        first, before = merged.get(path, (was, was))
        # corrected a second time: the platform still says what it said at first
        merged[path] = (first if before == was else was, value)
    statement = insert(Correction).values(
        channel=order.channel,
        shop=order.shop,
        channel_order_id=order.channel_order_id,
        changes=seal(json.dumps(merged, ensure_ascii=False)),
        by=by,
        at=now,
    )
    new = {"changes": statement.excluded.changes, "by": by, "at": now}
    session.connection().execute(
        statement.on_conflict_do_update(index_elements=["channel", "shop", "channel_order_id"], set_=new)
    )


def among(session: Session, names: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], Changes]:
    """The corrections of these orders (channel, shop, channel order id)."""
    if not names:
        return {}
    name = tuple_(col(Correction.channel), col(Correction.shop), col(Correction.channel_order_id))
    rows = session.exec(select(Correction).where(name.in_(names)).execution_options(populate_existing=True))
    return {
        (row.channel, row.shop, row.channel_order_id): {
            path: (was, now) for path, (was, now) in json.loads(unseal(row.changes)).items()
        }
        for row in rows
    }


def applied(session: Session, orders: Sequence[Incoming]) -> list[Incoming]:
    """These orders with everything that people have corrected about them, where it still says what was corrected."""
    names = {(order.channel, order.shop, order.channel_order_id) for order in orders if plain(order.channel_order_id)}
    known = among(session, sorted(names))
    if not known:
        return list(orders)
    found: list[Incoming] = []
    for order in orders:
        changes = known.get((order.channel, order.shop, order.channel_order_id))
        found.append(corrected(order, changes) if changes and isinstance(order, IncomingOrder) else order)
    return found


def corrected(order: IncomingOrder, changes: Changes) -> IncomingOrder:
    """The order with every correction whose field still says what was corrected."""
    for path, (was, value) in changes.items():
        try:
            if _value(order, path) == was:
                order = _with(order, path, value)
        except NotCorrectable:
            continue  # a line that is no longer there
    return order


def _value(order: IncomingOrder, path: str) -> Any:
    owner, name, line, line_field, plain = _parts(path)
    if owner and name in RECEIVER_FIELDS:
        return "" if order.receiver is None else getattr(order.receiver, name)
    if line and line_field in LINE_FIELDS:
        meant = [known for known in order.lines if known.channel_line_id == line]
        if len(meant) > 1:
            raise NotCorrectable(f"有 {len(meant)} 行的平台行号都是「{line[:80]}」,分不清要改哪一行:请在渠道后台改正。")
        if meant:
            return getattr(meant[0], line_field)
    if plain in ORDER_FIELDS:
        return getattr(order, plain)
    raise NotCorrectable(f"「{path}」不能在这里改，或这一行已经不在订单里。")


def _with(order: IncomingOrder, path: str, value: Any) -> IncomingOrder:
    owner, name, line, line_field, plain = _parts(path)
    if owner:
        receiver = order.receiver or Receiver("", "", "", "", "", "")
        return replace(order, receiver=replace(receiver, **{name: value}))
    if line:
        changed = [replace(k, **{line_field: value}) if k.channel_line_id == line else k for k in order.lines]
        return replace(order, lines=tuple(changed))
    return replace(order, **{plain: value})


def _parts(path: str) -> tuple[str, str, str, str, str]:
    match = _PATH.fullmatch(path)
    if match is None:
        raise NotCorrectable(f"「{path}」不是订单的字段。")
    owner, name, line, line_field, plain = (part or "" for part in match.groups())
    return owner, name, line, line_field, plain
