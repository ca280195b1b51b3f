"""Orders of the history written down as a Chinese back end exports them: CSV or XLSX, one row per line."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Literal

from integrations.channels.payload import decimal_of_fen
from integrations.sandbox.baskets import Basket, basket
from integrations.sandbox.history import customers
from integrations.sandbox.history import orders as historic_orders

_SHANGHAI = timezone(timedelta(hours=8))
_PAYS_AFTER = timedelta(minutes=3)

#: Columns that say the same on every row of an order.
ORDER_COLUMNS = (
    "订单编号", "订单状态", "订单创建时间", "订单付款时间", "买家会员名", "收货人姓名", "联系手机",
    "收货省份", "收货市", "收货区", "详细地址", "应付金额", "运费", "买家留言",
)  # fmt: skip
LINE_COLUMNS = ("商家编码", "商品名称", "商品数量", "商品单价", "本行优惠", "本行实付")
#: Column → the question of the pet profile.
PET_COLUMNS = {
    "宠物物种": "species",
    "宠物品种": "breed",
    "宠物生日": "birth_date",
    "体重(kg)": "weight_kg",
    "活动量": "activity_level",
    "主食偏好": "staple_preference",
    "过敏原": "allergens",
    "是否绝育": "neutered",
    "体况": "body_condition",
    "健康备注": "health_notes",
}
COLUMNS = (*ORDER_COLUMNS, *LINE_COLUMNS, *PET_COLUMNS)
#: What a spreadsheet program would hold as a number.
_NUMBERS: dict[str, Callable[[str], float]] = {
    "商品数量": int, "商品单价": float, "本行优惠": float, "本行实付": float, "应付金额": float, "运费": float,
}  # fmt: skip
_NOTHING_TO_SAY = {"过敏原": "无", "健康备注": "无"}


@dataclass(frozen=True)
class SheetOrder:
    """A basket as an order of the spreadsheet; `freight_fen` comes on top of what its lines come to."""

    order_id: str
    placed_at: datetime
    basket: Basket
    status: str = "待发货"
    freight_fen: int = 0

    @property
    def paid_at(self) -> datetime:
        """When it was paid: a moment after it was placed."""
        return self.placed_at + _PAYS_AFTER


def history_orders(limit: int, first_at: datetime) -> list[SheetOrder]:
    """The first orders of the history, told as if the first had been placed at `first_at`."""
    told = historic_orders(limit=limit)
    people, shift = customers(), first_at - told[0].placed_at
    found = []
    for order in told:
        at = (order.placed_at + shift).replace(microsecond=0)
        found.append(SheetOrder(f"XL{order.order_id}", at, basket(order, people[order.customer_id], at)))
    return found


def write_orders(
    path: Path,
    orders: Iterable[SheetOrder],
    *,
    encoding: Literal["utf-8-sig", "utf-8", "gb18030", "utf-16"] = "utf-8-sig",
    delimiter: str = ",",
    columns: Sequence[str] = COLUMNS,
    blank_repeats: bool = False,
    rng: Random | None = None,
) -> int:
    """Write the orders to a `.csv` or `.xlsx` file; the number of rows below the header.

    `blank_repeats` leaves the order's cells (not its number) empty on rows after its first, all of them, or with
    `rng` some of them.
    """
    rows = ([row[name] for name in columns] for order in orders for row in _rows(order, blank_repeats, rng))
    if path.suffix == ".xlsx":
        return _write_book(path, columns, rows)
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        return sum(1 for row in rows if writer.writerow(row))


def _rows(order: SheetOrder, blank_repeats: bool, rng: Random | None) -> Iterable[dict[str, str]]:
    told = _order_cells(order)
    for number, line in enumerate(order.basket.lines):
        cells = told
        if blank_repeats and number:
            kept = {name for name in told if name == "订单编号" or (rng is not None and rng.random() < 0.5)}
            cells = {name: cell if name in kept else "" for name, cell in told.items()}
        pet = {name: line.pet.get(key, "") or _NOTHING_TO_SAY.get(name, "") for name, key in PET_COLUMNS.items()}
        yield {
            **cells,
            "商家编码": line.sku,
            "商品名称": line.title,
            "商品数量": str(line.quantity),
            "商品单价": decimal_of_fen(line.unit_price_fen),
            "本行优惠": decimal_of_fen(line.discount_fen),
            "本行实付": decimal_of_fen(line.paid_fen),
            **(pet if line.pet else dict.fromkeys(PET_COLUMNS, "")),
        }


def _order_cells(order: SheetOrder) -> dict[str, str]:
    sold = order.basket
    texts = (
        order.order_id, order.status, _time(order.placed_at), _time(order.paid_at), sold.buyer, sold.name, sold.phone,
        sold.province, sold.city, sold.district, sold.street, decimal_of_fen(sold.total_fen + order.freight_fen),
        decimal_of_fen(order.freight_fen), sold.note,
    )  # fmt: skip
    return dict(zip(ORDER_COLUMNS, texts, strict=True))


def _time(at: datetime) -> str:
    return f"{at.astimezone(_SHANGHAI):%Y-%m-%d %H:%M:%S}"


def _write_book(path: Path, columns: Sequence[str], rows: Iterable[list[str]]) -> int:
    from openpyxl import Workbook  # a third of a second that only this needs

    book = Workbook(write_only=True)
    sheet = book.create_sheet("订单")
    sheet.append(list(columns))
    written = 0
    for row in rows:
        named = zip(columns, row, strict=True)
        sheet.append([_NUMBERS.get(name, str)(cell) if cell else "" for name, cell in named])
        written += 1
    book.save(path)
    return written
