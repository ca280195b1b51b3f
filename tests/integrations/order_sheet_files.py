"""Small order sheets on disk, for the tests of the spreadsheet channel."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openpyxl import Workbook

from integrations.spreadsheets.order_sheet import Mapping, open_sheet, propose, stage
from models.intake import Incoming, IncomingOrder, Unreadable

NOW = datetime(2026, 11, 2, 4, 0, tzinfo=UTC)

#: A plain order, by header.
ORDER = {
    "订单号": "XL2026110100001",
    "状态": "待发货",
    "下单时间": "2026-11-01 12:30:00",
    "SKU": "DOG-1",
    "数量": "2",
    "单价": "50.00",
    "收件人": "赵玉珍",
    "电话": "16000006978",
    "收货地址": "安徽省合肥市蜀山区李路184号27栋3单元2001室",
}
MAPPING = {
    "订单号": "order_id",
    "状态": "status",
    "下单时间": "placed_at",
    "SKU": "sku",
    "数量": "quantity",
    "单价": "unit_price",
    "收件人": "name",
    "电话": "phone",
    "收货地址": "address",
}


def written(path: Path, data: str | bytes) -> Path:
    """This file with this content."""
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def book(path: Path, *rows: Sequence[Any], **sheets: Sequence[Sequence[Any]]) -> Path:
    """An XLSX file with these rows in its first sheet, and further sheets by name."""
    made = Workbook()
    assert made.active is not None
    for row in rows:
        made.active.append(row)
    for name, more in sheets.items():
        sheet = made.create_sheet(name)
        for row in more:
            sheet.append(row)
    made.save(path)
    return path


def mapped(changes: dict[str, str] | None = None, **settings: Any) -> Mapping:
    """The mapping of `ORDER`, with further columns."""
    return Mapping({**MAPPING, **(changes or {})}, confirmed_by="wang.min", **settings)


def csv_of(path: Path, *rows: dict[str, str]) -> Path:
    """A CSV of rows that are each `ORDER` with changes; the headers are all that occur."""
    full = [{**ORDER, **row} for row in rows]
    headers = list(dict.fromkeys(header for row in full for header in row))
    lines = [headers, *([row.get(header, "") for header in headers] for row in full)]
    quoted = ("".join(f'"{cell}",' for cell in line)[:-1] for line in lines)
    return written(path, "\n".join(quoted))


def staged(path: Path, mapping: Mapping | None = None, shop: str = "pdd-main") -> list[Incoming]:
    """All that a file says, with this mapping or the one that would be proposed."""
    sheet = open_sheet(path)
    mapping = mapping or propose(sheet.headers, sheet.sample()).confirm("wang.min")
    with stage(sheet, mapping, shop=shop, now=NOW) as found:
        return [order for batch in found.orders() for order in batch]


def good(incoming: Incoming) -> IncomingOrder:
    """The order, which must be one."""
    assert isinstance(incoming, IncomingOrder), incoming.reason
    return incoming


def reason(incoming: Incoming) -> str:
    """Why it is none."""
    assert isinstance(incoming, Unreadable), incoming
    return incoming.reason
