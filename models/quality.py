"""What must be true of an order before it enters the book: one list of rules, each with a code.

A rule looks at one incoming order and says in Chinese what is wrong and what to do, or nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from models.intake import IncomingOrder, PlatformStatus
from models.product import Product

#: The longest name, phone, district, street and note that carriers and databases take.
LIMITS = {"收件人姓名": 64, "电话": 32, "省": 32, "市": 32, "区县": 32, "详细地址": 256}
NOTE_LIMIT = 2_000
TITLE_LIMIT = 500
MOST_LINES = 500
MOST_PIECES = 10_000
MOST_FEN = 100_000_000  # a million yuan: surely a slip of a unit


@dataclass(frozen=True)
class Fault:
    """One thing wrong with an order. `code` is for counting, `message` for the person who mends it."""

    code: str
    message: str


Rule = Callable[[IncomingOrder, Mapping[str, Product], datetime], Iterator[Fault]]


def judge(order: IncomingOrder, catalogue: Mapping[str, Product], now: datetime) -> list[Fault]:
    """Everything wrong with this order; empty when it may enter the book."""
    return [fault for rule in RULES for fault in rule(order, catalogue, now)]


def has_identity(order: IncomingOrder, catalogue: Mapping[str, Product], now: datetime) -> Iterator[Fault]:
    """It has an id, lines, one currency that we trade in, and a plausible time."""
    if not order.channel_order_id or len(order.channel_order_id) > 128:
        yield Fault("id_missing", "没有可用的平台订单号。")
    if not order.lines:
        yield Fault("no_lines", "订单里没有商品行。")
    if len(order.lines) > MOST_LINES:
        yield Fault("too_many_lines", f"商品行有 {len(order.lines)} 行,超过 {MOST_LINES} 行。")
    if order.currency != "CNY":
        yield Fault("currency", f"币种是 {order.currency[:8]!r},目前只接受 CNY。")
    if order.placed_at > now + timedelta(minutes=15):
        yield Fault("time_in_future", "下单时间在将来,请核对平台或本机时钟。")


def lines_make_sense(order: IncomingOrder, catalogue: Mapping[str, Product], now: datetime) -> Iterator[Fault]:
    """Every line names a known SKU, a whole positive quantity, and a price that is no debt."""
    for number, line in enumerate(order.lines, 1):
        if line.sku not in catalogue:
            yield Fault("unknown_sku", f"第 {number} 行的 SKU {line.sku[:40]!r} 不在商品表里:请先建商品,或改正编码。")
        if not 0 < line.quantity <= MOST_PIECES:
            yield Fault("bad_quantity", f"第 {number} 行的数量是 {line.quantity},应在 1 到 {MOST_PIECES} 之间。")
        if not (0 <= line.unit_price_fen <= MOST_FEN and 0 <= line.paid_fen <= MOST_FEN):
            yield Fault("negative_money", f"第 {number} 行的金额是负数或大得不合理。")
        if len(line.title) > TITLE_LIMIT:
            yield Fault("text_too_long", f"第 {number} 行的商品名有 {len(line.title)} 个字,超过 {TITLE_LIMIT}。")


def money_adds_up(order: IncomingOrder, catalogue: Mapping[str, Product], now: datetime) -> Iterator[Fault]:
    """Lines plus freight make the total; what was paid is the total or nothing."""
    amounts = (order.total_fen, order.paid_fen, order.freight_fen)
    if min(amounts) < 0 or max(*amounts, abs(order.discount_fen)) > MOST_FEN:
        yield Fault("negative_money", "订单金额是负数或大得不合理。")
        return
    lines = sum(line.paid_fen for line in order.lines)
    if lines + order.freight_fen != order.total_fen:
        yield Fault(
            "money_mismatch",
            f"各行实付 {lines} 分加运费 {order.freight_fen} 分,不等于订单总额 {order.total_fen} 分。",
        )
    if order.status in (PlatformStatus.TO_SHIP, PlatformStatus.PART_SHIPPED) and order.paid_fen != order.total_fen:
        yield Fault("money_mismatch", f"应付 {order.total_fen} 分,实付 {order.paid_fen} 分,两者不等。")


def can_be_delivered(order: IncomingOrder, catalogue: Mapping[str, Product], now: datetime) -> Iterator[Fault]:
    """There is an address a carrier can print: complete, of sane length, without control characters or emoji."""
    receiver = order.receiver
    if receiver is None:
        yield Fault("address_missing", "没有收货地址:请在平台补全后重新拉取。")
        return
    values = (
        receiver.name,
        receiver.phone,
        receiver.province,
        receiver.city,
        receiver.district,
        receiver.detail,
    )
    for (label, limit), value in zip(LIMITS.items(), values, strict=True):
        if not value.strip() and label in ("收件人姓名", "电话", "省", "市", "详细地址"):
            yield Fault("address_missing", f"收货地址缺少{label}。")
        if len(value) > limit:
            yield Fault("text_too_long", f"{label}有 {len(value)} 个字,超过 {limit}。")
        if not plain(value):
            yield Fault("control_characters", f"{label}里有控制字符。")
        if _emoji(value):
            yield Fault("emoji", f"{label}里有表情符号,快递面单打印不出来。")


def text_is_plain(order: IncomingOrder, catalogue: Mapping[str, Product], now: datetime) -> Iterator[Fault]:
    """Notes, ids and answers carry no control characters and fit the page. Emoji in a note are welcome."""
    if len(order.note) > NOTE_LIMIT:
        yield Fault("text_too_long", f"备注有 {len(order.note)} 个字,超过 {NOTE_LIMIT}。")
    texts = [order.channel_order_id, order.channel_order_name, order.buyer, order.note]
    texts += [part for line in order.lines for part in (line.sku, line.title, line.channel_line_id)]
    texts += _texts([order.attributes, order.handles, *(line.attributes for line in order.lines)])
    if not all(plain(part) for part in texts):
        yield Fault("control_characters", "订单文字里有控制字符。")
    if any(len(part) > NOTE_LIMIT for part in texts):
        yield Fault("text_too_long", f"订单里有超过 {NOTE_LIMIT} 个字的文字。")


RULES: tuple[Rule, ...] = (has_identity, lines_make_sense, money_adds_up, can_be_delivered, text_is_plain)

_EMOJI = re.compile("[\U0001f000-\U0001faff\U00002600-\U000027bf\U0000fe0f\U0000200d\U000020e3]")


def plain(value: str) -> bool:
    """Whether this text can be stored and printed: no control characters, lone surrogates or private characters."""
    return not any(unicodedata.category(c) in ("Cc", "Cs", "Co") and c not in "\n\r\t" for c in value)


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from (name, *_texts(item))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _emoji(value: str) -> bool:
    return _EMOJI.search(value) is not None
