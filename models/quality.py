"""What must be true of an order before it enters the book: one list of rules, each with a code, read in two ways.

An order becomes one flat row, and each of its lines another. A rule names a column, what must hold of its values, and
what to tell the person who mends it. `judge` reads the list in plain Python, order by order; `tasks/quality_gate.py`
makes a great-expectations suite for whole batches out of the same list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from models.intake import IncomingOrder
from models.order_row import Row, line_rows, order_row
from models.product import Product
from models.row_check import TRUE, AtMost, Between, Check, Equal, Length, NoEmoji, NotBlank, OneOf, Plain
from models.row_check import plain as plain
from models.wording import yuan

NOTE_LIMIT = 2_000
TITLE_LIMIT = 500
ID_LIMIT = 128
MOST_LINES = 500
MOST_PIECES = 10_000
MOST_FEN = 100_000_000  # a million yuan: surely a slip of a unit
#: Columns of an address, what people call them, and the longest text that carriers and databases take there.
ADDRESS = {
    "receiver_name": ("收件人姓名", 64),
    "receiver_phone": ("电话", 32),
    "receiver_province": ("省", 32),
    "receiver_city": ("市", 32),
    "receiver_district": ("区县", 32),
    "receiver_detail": ("详细地址", 256),
}
MAY_BE_BLANK = ("receiver_district",)  # some cities have none


@dataclass(frozen=True)
class Fault:
    """One thing wrong with an order. `code` is for counting, `message` for the person who mends it."""

    code: str
    message: str


@dataclass(frozen=True)
class Rule:
    """What `check` asks of a `column` of the row of an order, or of every line.

    `message` may name columns of the row in braces (amounts are told in yuan), and the `length` of a text that is too
    long.
    """

    code: str
    about: Literal["order", "line"]
    column: str
    check: Check
    message: str

    def fault(self, row: Row) -> Fault:
        """What to tell about a row that breaks the rule."""
        value = row[self.column]
        told = {name: yuan(said) if name.endswith("_fen") and said is not None else said for name, said in row.items()}
        return Fault(self.code, self.message.format(**told, length=len(value) if isinstance(value, str) else 0))


RULES: tuple[Rule, ...] = (
    Rule("id_missing", "order", "channel_order_id", Length(1, ID_LIMIT), "没有可用的平台订单号。"),
    Rule("no_lines", "order", "line_count", Between(1, None), "订单里没有商品行。"),
    Rule(
        "too_many_lines",
        "order",
        "line_count",
        Between(None, MOST_LINES),
        f"商品行有 {{line_count}} 行,超过 {MOST_LINES} 行。",
    ),
    Rule("currency", "order", "currency", OneOf(("CNY",)), "币种是 {currency!r:.10},目前只接受 CNY。"),
    Rule("time_in_future", "order", "minutes_ahead", Between(None, 15), "下单时间在将来,请核对平台或本机时钟。"),
    # the line
    Rule(
        "unknown_sku",
        "line",
        "sku_known",
        TRUE,
        "第 {line_no} 种商品的 SKU {sku!r:.42} 不在商品表里:请先建商品,或改正编码。",
    ),
    Rule("bad_quantity", "line", "quantities_whole", TRUE, "第 {line_no} 种商品的数量不是整数,或大得不合理。"),
    Rule(
        "bad_quantity",
        "line",
        "quantity",
        Between(1, MOST_PIECES),
        f"第 {{line_no}} 种商品的数量是 {{quantity}},应在 1 到 {MOST_PIECES} 之间。",
    ),
    Rule("bad_quantity", "line", "cancelled_quantity", Between(0, None), "第 {line_no} 种商品取消的数量是负数。"),
    Rule(
        "bad_quantity",
        "line",
        "cancelled_quantity",
        AtMost("bought_quantity"),
        "第 {line_no} 种商品取消了 {cancelled_quantity} 件,比买的 {bought_quantity} 件还多。",
    ),
    Rule("negative_money", "line", "amounts_whole", TRUE, "第 {line_no} 种商品的金额不能精确到分,或大得不合理。"),
    *(
        Rule("negative_money", "line", column, Between(0, MOST_FEN), f"第 {{line_no}} 种商品的{name}是负数或太大。")
        for column, name in (("unit_price_fen", "单价"), ("paid_fen", "实付金额"))
    ),
    Rule(
        "text_too_long",
        "line",
        "title",
        Length(0, TITLE_LIMIT),
        f"第 {{line_no}} 种商品的商品名有 {{length}} 个字,超过 {TITLE_LIMIT}。",
    ),
    # the money
    Rule("negative_money", "order", "amounts_whole", TRUE, "订单金额不能精确到分,或大得不合理。"),
    *(
        Rule("negative_money", "order", column, Between(low, MOST_FEN), f"订单的{name}是负数或大得不合理。")
        for column, name, low in (
            ("total_fen", "总额", 0),
            ("paid_fen", "实付金额", 0),
            ("freight_fen", "运费", 0),
            ("discount_fen", "优惠金额", -MOST_FEN),
        )
    ),
    Rule(
        "money_mismatch",
        "order",
        "total_fen",
        Equal("fitting_total_fen"),
        "各行实付 {lines_fen}加运费 {freight_fen},不等于订单总额 {total_fen}。",
    ),
    Rule(
        "money_mismatch",
        "order",
        "paid_fen",
        Equal("fitting_paid_fen"),
        "应付 {total_fen},实付 {paid_fen},两者不等。",
    ),
    Rule("refund_mismatch", "order", "refunded_fen", Between(0, None), "已退金额是负数。"),
    Rule(
        "refund_mismatch",
        "order",
        "refunded_fen",
        AtMost("received_fen"),
        "已退 {refunded_fen},比实付的 {received_fen}还多。",
    ),
    # the address: complete, of sane length, printable on a label
    Rule("address_missing", "order", "has_receiver", TRUE, "没有收货地址:请在平台补全后重新拉取。"),
    *(
        Rule("address_missing", "order", column, NotBlank(), f"收货地址缺少{name}。")
        for column, (name, _) in ADDRESS.items()
        if column not in MAY_BE_BLANK
    ),
    *(
        Rule("text_too_long", "order", column, Length(0, limit), f"{name}有 {{length}} 个字,超过 {limit}。")
        for column, (name, limit) in ADDRESS.items()
    ),
    *(
        Rule("control_characters", "order", column, Plain(), f"{name}里有控制字符。")
        for column, (name, _) in ADDRESS.items()
    ),
    *(
        Rule("emoji", "order", column, NoEmoji(), f"{name}里有表情符号,快递面单打印不出来。")
        for column, (name, _) in ADDRESS.items()
    ),
    # every other text, answers and handles included; emoji in a note are welcome
    Rule("text_too_long", "order", "note", Length(0, NOTE_LIMIT), f"备注有 {{length}} 个字,超过 {NOTE_LIMIT}。"),
    Rule("control_characters", "order", "texts", Plain(), "订单文字里有控制字符。"),
    Rule(
        "text_too_long",
        "order",
        "longest_text",
        Between(None, NOTE_LIMIT),
        f"订单里有超过 {NOTE_LIMIT} 个字的文字。",
    ),
)


#: Rules made ready for reading row after row: the rule, its column, the other column if any, what must hold.
Reading = tuple[tuple[Rule, str, str | None, Callable[[Any, Any], bool]], ...]


def reading(rules: Iterable[Rule], about: Literal["order", "line"]) -> Reading:
    """The rules about orders, or about lines, in their order."""
    return tuple((r, r.column, r.check.against, r.check.holds) for r in rules if r.about == about)


def broken(row: Row, rules: Reading) -> list[Rule]:
    """The rules that a row breaks."""
    found = []
    for rule, column, against, holds in rules:
        value, other = row[column], None
        if value is None or (against is not None and (other := row[against]) is None):
            continue
        if not holds(value, other):
            found.append(rule)
    return found


_OF_ORDERS, _OF_LINES = reading(RULES, "order"), reading(RULES, "line")


def judge(order: IncomingOrder, catalogue: Mapping[str, Product], now: datetime) -> list[Fault]:
    """Everything wrong with this order; empty when it may enter the book."""
    row = order_row(order, now)
    faults = [rule.fault(row) for rule in broken(row, _OF_ORDERS)]
    for row in line_rows(order, catalogue):
        faults += [rule.fault(row) for rule in broken(row, _OF_LINES)]
    return faults
