"""What a person sets about stock: buffers, shares, and what becomes of an order that goods lack for; with a reason.

`models/pool.py` reads the settings; here they are changed, and every change leaves a row that says by whom and why.
"""

from __future__ import annotations

import re
from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Session, SQLModel, col, select

from models.channel_stock import SHELVED
from models.pool import WHOLE, ChannelShare, StockRule, set_rule, set_share
from models.quality import plain
from models.stock_desk import StockRefused, known_sku, well_reasoned
from models.table import key, moment, words
from models.warehouse import Warehouse, distance_km
from models.wording import CHANNEL_WORDS, say

WHEN_SHORT_WORDS = {"backorder": "等到货", "compensate": "退款并补偿"}
#: What is said of a setting that nobody has set.
DEFAULT = "默认"


class StockSettingChange(SQLModel, table=True):
    """One change of a setting: from what to what, in the words that people read. Append-only."""

    __tablename__ = "stock_setting_change"
    __table_args__ = (Index("stock_setting_change_of_sku", "sku", "id"),)

    id: int | None = key()
    at: datetime = moment()
    who: str
    what: str
    sku: str = "*"
    channel: str = ""
    before: str
    after: str
    reason: str = words()


def set_buffer(
    session: Session, sku: str, percent: int | None, pieces: int | None, reason: str, who: str, now: datetime
) -> str:
    """Hold back a percentage of what is on hand, or so many in each warehouse; neither: the default. A sentence.

    Raises `stock_desk.StockRefused`.
    """
    known_sku(session, sku)
    if (percent is not None and not 0 <= percent <= 100) or (pieces is not None and not 0 <= pieces <= 10**9):
        raise StockRefused("缓冲应为 0 到 100 的百分比,或不小于 0 的件数。")
    rule = _rule(session, sku, who, now)
    before = buffer_words(rule)
    rule.buffer_percent, rule.buffer_pieces = percent, None if percent is not None else pieces
    set_rule(session, rule)
    return _changed(session, "缓冲", sku, "", before, buffer_words(rule), reason, who, now)


def set_when_short(session: Session, sku: str, what: str | None, reason: str, who: str, now: datetime) -> str:
    """What becomes of an order that this SKU lacks for: `backorder`, `compensate`, or None for the default."""
    known_sku(session, sku)
    rule = _rule(session, sku, who, now)
    before = short_words(rule)
    rule.when_short = what
    set_rule(session, rule)
    return _changed(session, "缺货时", sku, "", before, short_words(rule), reason, who, now)


def share(session: Session, channel: str, percent: int, sku: str, reason: str, who: str, now: datetime) -> str:
    """Show a channel so many percent of what is sellable, of one SKU or (`*`) of all without an own share."""
    if channel not in SHELVED:
        raise StockRefused(f"没有渠道 {channel[:64]}。可选:{'、'.join(SHELVED)}。")
    if not 0 <= percent <= 100:
        raise StockRefused("份额应为 0 到 100 的百分比。")
    if sku != "*":
        known_sku(session, sku)
    known = session.get(ChannelShare, (channel, sku))
    everything = session.get(ChannelShare, (channel, "*"))
    inherited = everything.percent if everything is not None else WHOLE
    before = f"{known.percent}%" if known is not None else f"{inherited}%({DEFAULT})"
    set_share(session, channel, percent, sku)
    what = f"{say(CHANNEL_WORDS, channel)}的份额"
    return _changed(session, what, sku, channel, before, f"{percent}%", reason, who, now)


def changes_of(session: Session, sku: str, limit: int = 20) -> list[StockSettingChange]:
    """The latest changes of what is set for a SKU, newest first."""
    statement = select(StockSettingChange).where(StockSettingChange.sku == sku)
    return list(session.exec(statement.order_by(col(StockSettingChange.id).desc()).limit(limit)))


def buffer_words(rule: StockRule | None) -> str:
    """A buffer as people read it."""
    if rule is not None and rule.buffer_percent is not None:
        return f"{rule.buffer_percent}%"
    if rule is not None and rule.buffer_pieces is not None:
        return f"每仓 {rule.buffer_pieces}"
    return DEFAULT


def short_words(rule: StockRule | None) -> str:
    """What becomes of orders that lack goods, as people read it."""
    return WHEN_SHORT_WORDS[rule.when_short] if rule is not None and rule.when_short else DEFAULT


def _rule(session: Session, sku: str, who: str, now: datetime) -> StockRule:
    known = session.get(StockRule, sku, with_for_update=True)
    rule = known or StockRule(sku=sku, set_at=now)
    rule.set_by, rule.set_at = who, now
    return rule


def _changed(
    session: Session, what: str, sku: str, channel: str, before: str, after: str, reason: str, who: str, now: datetime
) -> str:
    session.add(
        StockSettingChange(
            at=now,
            who=who,
            what=what,
            sku=sku,
            channel=channel,
            before=before,
            after=after,
            reason=well_reasoned(reason),
        )
    )
    session.flush()
    of = "全部商品" if sku == "*" else sku
    return f"{of} 的{what}:{before} → {after}" if before != after else f"{of} 的{what}本来就是 {after},没有变化"


def set_warehouse(session: Session, code: str, name: str, province: str) -> str:
    """Add a warehouse, or say anew what it is called and where it stands. Raises `StockRefused`."""
    code, name = code.strip(), name.strip()
    if not re.fullmatch(r"[0-9A-Za-z_-]{1,32}", code) or not name or not plain(name):
        raise StockRefused("仓库代码只用字母、数字、- 和 _,最多 32 个;还要写明名称。")
    if distance_km(province, province) != 0.0:
        raise StockRefused(f"不认识省份「{province[:20]}」:请写中文全称,例如 浙江省、上海市。")
    known = session.get(Warehouse, code)
    warehouse = known or Warehouse(code=code, name=name)
    warehouse.name, warehouse.province = name, province
    session.add(warehouse)
    session.flush()
    return f"仓库 {code}({name},{province}){'已修改' if known else '已新增'}。"
