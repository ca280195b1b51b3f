"""`orderloom catalogue load`: products and stock from a CSV file, wholly or not at all.

Columns: sku, title, unit (`piece` or `g`), weight_g, price_fen, made_to_order (1/0), on_hand, warehouse. `on_hand` is
what lies there now, in the unit; empty leaves the stock alone. A warehouse that is not known yet is made.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlmodel import Session, select

from deployments.language import tell
from models.product import Product, Unit, products, save_products
from models.quality import plain
from models.stock import StockItem, adjust, receive
from models.warehouse import Warehouse

COLUMNS = ("sku", "title", "unit", "weight_g", "price_fen", "made_to_order", "on_hand", "warehouse")
LARGEST = 10**12
_YES, _NO = ("1", "true", "yes", "是"), ("0", "false", "no", "否", "")


class CatalogueWrong(Exception):
    """The file cannot be loaded; one sentence per bad row. Nothing was changed."""

    def __init__(self, problems: Sequence[str]) -> None:
        shown = "\n".join(problems[:50])
        more = (
            tell(f"\n…还有 {len(problems) - 50} 处", f"\n… and {len(problems) - 50} more") if len(problems) > 50 else ""
        )
        nothing = tell("什么都没有载入,改好后再来一次。", "Nothing was loaded; correct it and load it again.")
        super().__init__(f"{shown}{more}\n{nothing}")


@dataclass(frozen=True)
class CatalogueRow:
    """One row. `on_hand` None leaves the stock alone."""

    product: Product
    on_hand: int | None
    warehouse: str


@dataclass(frozen=True)
class Changes:
    """What a load changes, line by line."""

    new: int
    changed: int
    stock: int
    lines: tuple[str, ...]

    def sentence(self, dry_run: bool) -> str:
        """One line for the end."""
        counts = tell(
            f"新商品 {self.new},改动 {self.changed},库存调整 {self.stock}",
            f"{self.new} new, {self.changed} changed, {self.stock} stock corrections",
        )
        return tell(f"(试算,没有写入){counts}", f"(dry run, nothing written) {counts}") if dry_run else counts


def read_catalogue(file: Path) -> list[CatalogueRow]:
    """The rows of the file. Raises `CatalogueWrong` naming every bad row."""
    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                named = ", ".join(missing)
                raise CatalogueWrong([tell(f"缺少列:{named}", f"columns missing: {named}")])
            numbered = [(reader.line_num, row) for row in reader]
    except UnicodeDecodeError as error:
        said = tell("文件不是 UTF-8:请另存为「CSV UTF-8」", "the file is not UTF-8: save it as CSV UTF-8")
        raise CatalogueWrong([said]) from error
    problems: list[str] = []
    rows: list[CatalogueRow] = []
    seen: dict[tuple[str, str], int] = {}
    for number, raw in numbered:
        wrong, row = _read_row({name: (raw.get(name) or "").strip() for name in COLUMNS})
        if row is not None and (first := seen.setdefault((row.product.sku, row.warehouse), number)) != number:
            wrong.append(tell(f"与第 {first} 行重复", f"the same as line {first}"))
        problems += [tell(f"第 {number} 行:{what}", f"line {number}: {what}") for what in wrong]
        if row is not None:
            rows.append(row)
    if not numbered:
        problems.append(tell("文件里没有商品", "the file has no products"))
    if problems:
        raise CatalogueWrong(problems)
    return rows


def _read_row(raw: dict[str, str]) -> tuple[list[str], CatalogueRow | None]:
    wrong = []
    for name in ("sku", "title"):
        if not raw[name] or not plain(raw[name]) or len(raw[name]) > 200:
            wrong.append(
                tell(f"{name} 为空、过长或含有控制字符", f"{name} is empty, too long or has control characters")
            )
    unit = raw["unit"] or Unit.PIECE.value
    if unit not in list(Unit):
        wrong.append(tell(f"unit 应为 piece 或 g,而不是 {unit!r}", f"unit is piece or g, not {unit!r}"))
    numbers: dict[str, int | None] = {}
    for name in ("weight_g", "price_fen", "on_hand"):
        text = raw[name]
        if text and not (text.isascii() and text.isdigit() and int(text) <= LARGEST):
            wrong.append(tell(f"{name} 应为不小于 0 的整数,而不是 {text!r}", f"{name} is a whole number, not {text!r}"))
        else:
            numbers[name] = int(text) if text else None
    made = raw["made_to_order"].lower()
    if made not in _YES + _NO:
        wrong.append(tell(f"made_to_order 应为 1 或 0,而不是 {made!r}", f"made_to_order is 1 or 0, not {made!r}"))
    if numbers.get("on_hand") is not None and not raw["warehouse"]:
        wrong.append(tell("有 on_hand 就要写明 warehouse", "on_hand needs a warehouse"))
    if wrong:
        return wrong, None
    product = Product(
        sku=raw["sku"],
        title=raw["title"],
        unit=unit,
        weight_g=numbers["weight_g"] or 0,
        price_fen=numbers["price_fen"] or 0,
        made_to_order=made in _YES,
    )
    return [], CatalogueRow(product, numbers["on_hand"], raw["warehouse"])


def load(session: Session, rows: Sequence[CatalogueRow], now: datetime, *, dry_run: bool) -> Changes:
    """Bring products and stock to what the rows say, in the caller's transaction; `dry_run` only tells.

    Raises `CatalogueWrong` when a count is below what is promised to orders.
    """
    known = products(session, [row.product.sku for row in rows])
    wanted = {row.product.sku: row.product for row in rows}
    new = [sku for sku in wanted if sku not in known]
    changed = {sku: _difference(known[sku], wanted[sku]) for sku in wanted if sku in known}
    changed = {sku: difference for sku, difference in changed.items() if difference}
    lines = [tell(f"新商品 {sku} {wanted[sku].title}", f"new {sku} {wanted[sku].title}") for sku in new]
    lines += [f"{sku}: {difference}" for sku, difference in changed.items()]
    counts = [_count(session, row) for row in rows if row.on_hand is not None]
    problems = [one.problem for one in counts if one.problem]
    if problems:
        raise CatalogueWrong(problems)
    moving = [one for one in counts if one.difference]
    lines += [
        tell(
            f"库存 {one.row.warehouse} {one.row.product.sku}:{one.now} → {one.row.on_hand}",
            f"stock {one.row.warehouse} {one.row.product.sku}: {one.now} → {one.row.on_hand}",
        )
        for one in moving
    ]
    if not dry_run:
        save_products(session, wanted.values())
        for code in sorted({one.row.warehouse for one in counts}):
            if session.get(Warehouse, code) is None:
                session.add(Warehouse(code=code, name=code))
        session.flush()
        for one in moving:
            _correct(session, one, now)
    return Changes(len(new), len(changed), len(moving), tuple(lines))


def _difference(old: Product, new: Product) -> str:
    before, after = old.model_dump(), new.model_dump()
    return ", ".join(f"{name} {before[name]} → {after[name]}" for name in after if before[name] != after[name])


@dataclass(frozen=True)
class _Count:
    row: CatalogueRow
    now: int
    problem: str

    @property
    def difference(self) -> int:
        assert self.row.on_hand is not None
        return self.row.on_hand - self.now


def _count(session: Session, row: CatalogueRow) -> _Count:
    statement = select(StockItem).where(StockItem.warehouse == row.warehouse, StockItem.sku == row.product.sku)
    item = session.exec(statement.with_for_update()).first()
    now, promised = (item.on_hand, item.reserved) if item else (0, 0)
    assert row.on_hand is not None
    sku = row.product.sku
    problem = tell(
        f"{sku} 的 on_hand {row.on_hand} 小于已预留给订单的 {promised}:请先取消或换货这些订单",
        f"{sku}: on_hand {row.on_hand} is below the {promised} promised to orders: cancel or exchange those first",
    )
    return _Count(row, now, problem if row.on_hand < promised else "")


def _correct(session: Session, count: _Count, now: datetime) -> None:
    row, kind = count.row, receive if count.now == 0 else adjust
    kind(session, row.warehouse, row.product.sku, count.difference, "catalogue load", "catalogue", now)
