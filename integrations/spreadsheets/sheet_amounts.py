"""What an order comes to when its sheet says only part of it: lines from totals, totals from lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from integrations.spreadsheets.sheet_values import CellWrong


@dataclass(frozen=True)
class LineSaid:
    """What the sheet says about a line's money, in fen; None where it says nothing."""

    quantity: int
    unit: int | None
    paid: int | None
    discount: int | None


@dataclass(frozen=True)
class Settled:
    """An order's money in fen: unit price and paid amount per line, in the lines' order."""

    units: tuple[int, ...]
    paid: tuple[int, ...]
    total: int
    discount: int


def settle(lines: Sequence[LineSaid], total: int | None, freight: int, discount: int | None) -> Settled:
    """Fill in what is not said. What is said stays, also when it does not add up: that is for the row rules to say.

    A discount of the whole order is spread over the lines by their amounts, odd fen to the first lines.
    Raises `CellWrong` when the lines' amounts cannot be told.
    """
    listed = [None if line.unit is None else line.unit * line.quantity for line in lines]
    if all(line.paid is None for line in lines):
        paid = _paid_without_word(lines, listed, total, freight, discount)
    else:
        paid = [_paid(line) for line in lines]
    units = [_unit(line, amount) for line, amount in zip(lines, paid, strict=True)]
    full = sum(unit * line.quantity for unit, line in zip(units, lines, strict=True))
    return Settled(
        units=tuple(units),
        paid=tuple(paid),
        total=sum(paid) + freight if total is None else total,
        discount=abs(discount) if discount is not None else max(0, full - sum(paid)),
    )


def _paid_without_word(
    lines: Sequence[LineSaid], listed: Sequence[int | None], total: int | None, freight: int, discount: int | None
) -> list[int]:
    if any(amount is None for amount in listed):
        if len(lines) == 1 and total is not None:
            return [total - freight]
        raise CellWrong("没有单价也没有本行实付,算不出每一行的金额:请补上其中一列")
    base = [(amount or 0) - abs(line.discount or 0) for amount, line in zip(listed, lines, strict=True)]
    goods = sum(base) - abs(discount or 0) if total is None else total - freight
    if not 0 <= goods < sum(base) or min(base) < 0:
        return base
    return _spread(base, goods)


def _spread(base: Sequence[int], goods: int) -> list[int]:
    """`goods` in the proportion of `base`."""
    whole = sum(base)
    parts = [amount * goods // whole for amount in base]
    odd = goods - sum(parts)
    for number, amount in enumerate(base):
        if odd and amount > parts[number]:
            parts[number] += 1
            odd -= 1
    return parts


def _paid(line: LineSaid) -> int:
    if line.paid is not None:
        return line.paid
    if line.unit is None:
        raise CellWrong("有的行没有写本行实付,也没有单价:请补上其中一个")
    return line.unit * line.quantity - abs(line.discount or 0)


def _unit(line: LineSaid, paid: int) -> int:
    """Without a unit price, what a piece came to, rounded up so that lines never come to less than was paid."""
    if line.unit is not None:
        return line.unit
    return -(-paid // line.quantity) if line.quantity > 0 else 0
