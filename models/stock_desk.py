"""What a person does to stock by hand, under a name and with a reason: each does one thing and says what changed.

The command line and the staff pages both come here. Whatever cannot be done is a `StockRefused` whose words say what
to do instead, and then nothing is changed.
"""

from __future__ import annotations

from datetime import date, datetime

from sqlmodel import Session, col, select

from models import counting, stock
from models.backorder import ExpectedReceipt, queue
from models.compensation import Limits
from models.product import Product, Unit
from models.quality import plain
from models.stock import StockItem
from models.stock_page import fulfilment_numbers
from models.warehouse import Warehouse
from models.wording import TZ

#: More than this of anything is a slip of the finger.
MOST = 10**9
LONGEST_REASON = 200
OUTCOMES = {"backorder": "转入等货", "compensate": "退款并补偿", "ending": "本来就在了结"}


class StockRefused(Exception):
    """What was asked for cannot be done; the words say why and what to do. Nothing was changed."""


def receive(
    session: Session, warehouse: str | None, sku: str, quantity: int, reason: str, who: str, now: datetime
) -> str:
    """Goods arrived; expected receipts of them are done with, the earliest first, and who waits is woken."""
    code, why = _place(session, warehouse, sku), well_reasoned(reason)
    _positive(quantity)
    stock.receive(session, code, sku, quantity, why, who, now)
    due = _arrived(session, code, sku, quantity, now)
    waiting = len(queue(session, [sku]))
    said = f"{code} 的 {sku}:到货 {amount(session, sku, quantity)},{_now_there(session, code, sku)}"
    if due:
        said += f";了结了 {due} 笔预计到货"
    return said + (f";有 {waiting} 单在等,按付款先后分配" if waiting else "") + "。"


def adjust(session: Session, warehouse: str | None, sku: str, change: int, reason: str, who: str, now: datetime) -> str:
    """Correct what is on hand by a difference. Raises `stock.NotThere` too."""
    code, why = _place(session, warehouse, sku), well_reasoned(reason)
    if change == 0 or abs(change) > MOST:
        raise StockRefused(f"调整的差额不能是 0,也不能超过 {MOST}:多了写负数,少了写正数。")
    stock.adjust(session, code, sku, change, why, who, now)
    return f"{code} 的 {sku}:调整 {change:+d},{_now_there(session, code, sku)}。"


def transfer(
    session: Session, sku: str, quantity: int, from_: str, to: str, reason: str, who: str, now: datetime
) -> str:
    """Move what is not promised to another warehouse. Raises `stock.NotThere` too."""
    _place(session, from_, sku)
    _place(session, to, sku)
    why = well_reasoned(reason)
    _positive(quantity)
    if from_ == to:
        raise StockRefused("调出和调入是同一个仓库:请换一个。")
    stock.transfer(session, sku, quantity, from_, to, why, who, now)
    here, there = _now_there(session, from_, sku), _now_there(session, to, sku)
    return f"{sku}:{from_} 调往 {to} {amount(session, sku, quantity)},{from_} {here},{to} {there}。"


def count(
    session: Session,
    warehouse: str | None,
    sku: str,
    counted: int,
    reason: str,
    who: str,
    now: datetime,
    limits: Limits,
) -> str:
    """What was counted is what is on hand; says which orders lost their promise. Raises `counting.CountBusy` too."""
    code, why = _place(session, warehouse, sku), well_reasoned(reason)
    if not 0 <= counted <= MOST:
        raise StockRefused(f"盘点数量应在 0 到 {MOST} 之间。")
    done = counting.count(session, code, sku, counted, why, who, now, limits)
    if done.before == done.after:
        return f"{code} 的 {sku}:盘点 {counted},与账面相同,没有变化。"
    said = f"{code} 的 {sku}:盘点 {done.before} → {done.after}({done.after - done.before:+d})"
    return said + gave_back_words(session, done.gave_back) + "。"


def gave_back_words(session: Session, gave_back: dict[int, str]) -> str:
    """Which orders lost their promise, and what became of each; "" for none."""
    numbers = fulfilment_numbers(session, list(gave_back))
    lost = "、".join(f"{numbers[id]} {OUTCOMES[what]}" for id, what in gave_back.items())
    return f";失去预留:{lost}" if lost else ""


def expect(
    session: Session,
    warehouse: str | None,
    sku: str,
    quantity: int,
    expected_on: date,
    reason: str,
    who: str,
    now: datetime,
) -> str:
    """Goods are on their way: customers who wait from now on are told by this date."""
    code, why = _place(session, warehouse, sku), well_reasoned(reason)
    _positive(quantity)
    if expected_on < now.astimezone(TZ).date():
        raise StockRefused(f"预计到货日 {expected_on} 已经过去:请写今天或以后的日期。")
    row = ExpectedReceipt(warehouse=code, sku=sku, quantity=quantity, expected_on=expected_on, note=f"{who}:{why}")
    session.add(row)
    session.flush()
    return f"已记下预计到货 #{row.id}:{code} 的 {sku} {amount(session, sku, quantity)},{expected_on}。"


def drop_expected(session: Session, receipt_id: int, reason: str, who: str, now: datetime) -> str:
    """The goods are not coming after all. Raises `StockRefused` when there is no such open receipt."""
    why = well_reasoned(reason)
    row = session.get(ExpectedReceipt, receipt_id, with_for_update=True) if 0 < receipt_id < 2**63 else None
    if row is None or row.arrived_at is not None:
        raise StockRefused(f"没有未到的预计到货 #{receipt_id}:用 `orderloom stock show SKU` 看有哪些。")
    row.arrived_at, row.note = now, f"{row.note};{who} 取消:{why}"
    session.add(row)
    session.flush()
    return f"已取消预计到货 #{receipt_id}:{row.warehouse} 的 {row.sku} {row.quantity},{row.expected_on}。"


def _arrived(session: Session, warehouse: str, sku: str, quantity: int, now: datetime) -> int:
    """Take what arrived off what was expected, the earliest first; how many receipts are done with."""
    statement = select(ExpectedReceipt).where(
        ExpectedReceipt.warehouse == warehouse, ExpectedReceipt.sku == sku, col(ExpectedReceipt.arrived_at).is_(None)
    )
    earliest = statement.order_by(col(ExpectedReceipt.expected_on), col(ExpectedReceipt.id))
    done = 0
    for row in session.exec(earliest.with_for_update()):
        if quantity <= 0:
            break
        if row.quantity <= quantity:
            row.arrived_at, done = now, done + 1
        quantity, left = quantity - row.quantity, row.quantity - quantity
        row.quantity = left if left > 0 else row.quantity
        session.add(row)
    session.flush()
    return done


def well_reasoned(reason: str) -> str:
    """The reason, trimmed. Raises `StockRefused` when there is none, or one that nobody can read."""
    why = reason.strip()
    if not why or not plain(why) or len(why) > LONGEST_REASON:
        raise StockRefused(f"请写明原因(1 到 {LONGEST_REASON} 个字,不含控制字符):它会留在流水里。")
    return why


def known_sku(session: Session, sku: str) -> Product:
    """The product. Raises `StockRefused`."""
    product = session.get(Product, sku) if plain(sku) else None
    if product is None:
        raise StockRefused(f"没有商品 {sku[:64]}:请核对编码,或先用 `orderloom catalogue load` 载入。")
    return product


def known_warehouse(session: Session, code: str | None) -> str:
    """The warehouse with this code; without one, the only one there is. Raises `StockRefused`."""
    codes = list(session.exec(select(Warehouse.code).order_by(Warehouse.code)))
    if code is None and len(codes) == 1:
        return codes[0]
    if code in codes:
        assert code is not None
        return code
    named = "请写明仓库" if code is None else f"没有仓库 {code[:64]}"
    raise StockRefused(f"{named}。可选:{'、'.join(codes) or '还没有仓库,先用 `orderloom catalogue load` 载入'}。")


def amount(session: Session, sku: str, quantity: int) -> str:
    """So many, with the SKU's unit."""
    product = session.get(Product, sku)
    return f"{quantity} {'克' if product is not None and product.unit == Unit.GRAM.value else '件'}"


def _place(session: Session, warehouse: str | None, sku: str) -> str:
    product = known_sku(session, sku)
    if product.made_to_order:
        raise StockRefused(f"{sku} 按单生产,没有库存:请改它的原料。")
    return known_warehouse(session, warehouse)


def _positive(quantity: int) -> None:
    if not 0 < quantity <= MOST:
        raise StockRefused(f"数量应在 1 到 {MOST} 之间。")


def _now_there(session: Session, warehouse: str, sku: str) -> str:
    item = session.get_one(StockItem, (warehouse, sku), populate_existing=True)
    return f"现在在库 {item.on_hand},预留 {item.reserved}"
