"""What a channel says of an order's lines now, written to the lines that we have. No line that was paid is deleted.

A line is known by its id and SKU on the channel: another SKU under the same id is another line. One that is told no
more is cancelled whole; one that comes back is revived.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, select

from models.database import utcnow
from models.edited_pet import PetNews, pet_news
from models.entry import line_columns
from models.fulfilment import FulfilmentLine
from models.intake import IncomingOrder
from models.order import Order, OrderLine, lines_of
from models.product import Product
from models.rules_in_force import form_of
from models.wanted import Standing, standings, told_to_channel
from models.wording import yuan

#: What may follow the channel in a line that we know.
_FOLLOWS = ("title", "quantity", "unit_price_fen", "paid_fen")
NewsOfPets = Callable[[OrderLine, Mapping[str, Any]], PetNews | None]


@dataclass(frozen=True)
class LinesChange:
    """What is different: pieces to be delivered by line (`1 CAN-400`), and totals in fen, before and after.

    `moves`: other goods are to be sent than before; `grew`: more of something, or for more money; `repet`: the pet
    that something is made for is described otherwise.
    """

    before: dict[str, Any]
    after: dict[str, Any]
    moves: bool
    grew: bool
    repet: bool

    def in_words(self) -> list[str]:
        """What is different, a line each: `1 CAN-400: 3 → 2`, `12.00 元 → 8.00 元`."""
        told = [f"{name}: {self.before['lines'][name]} → {now}" for name, now in self.after["lines"].items()]
        told += [f"{number} 宠物档案改了" for number in self.after.get("pets", [])]
        if "total_fen" in self.after:
            told.append(f"{yuan(self.before['total_fen'])} → {yuan(self.after['total_fen'])}")
        return told


def follow_lines(
    session: Session, order: Order, incoming: IncomingOrder, catalogue: Mapping[str, Product], *, over: bool = False
) -> LinesChange | None:
    """Bring a paid order's lines up to what its channel says; None when nothing that we go by is different.

    `over`: the order has been sent or completed, and what platforms say then is not whole: only what was cancelled of
    lines that we know counts. The order must be locked.
    """
    assert order.id is not None
    lines, before = lines_of(session, order.id), standings(session, order.id)
    news = _news_of_pets(session, order)
    pairs, new = _matched(session, lines, incoming, catalogue, news)
    total, told = order.total_fen, told_to_channel(session, order.id)
    if over:
        for line, columns in pairs:
            cancelled = max(line.cancelled_quantity, min(columns["cancelled_quantity"], line.quantity))
            _cancel(line, cancelled, told.get(line.id or 0, 0))
        pets = []
    else:
        pets = [line for line, columns in pairs if _follow(session, line, columns, told.get(line.id or 0, 0), news)]
        for line in lines:
            if all(line is not known for known, _ in pairs):
                _cancel(line, line.quantity, told.get(line.id or 0, 0))
                line.paid_fen = 0
        last = max((line.line_no for line in lines), default=0)
        lines += [OrderLine(order_id=order.id, line_no=last + place, **told) for place, told in enumerate(new, 1)]
        order.total_fen, order.freight_fen = incoming.total_fen, incoming.freight_fen
        order.discount_fen = incoming.discount_fen
    session.add_all([order, *lines])
    session.flush()
    return _difference(before, standings(session, order.id), total, order.total_fen, pets)


def follow_pets(session: Session, order: Order, lines: Sequence[OrderLine], told: Sequence[dict[str, Any]]) -> None:
    """Write what is told of the pets of an unpaid order, line by line; `told` are the same lines in the same order."""
    news_of = _news_of_pets(session, order)
    for line, columns in zip(lines, told, strict=True):
        if (news := news_of(line, columns)) is not None:
            line.profile, line.answers = news.profile, news.answers
            session.add(line)


def _news_of_pets(session: Session, order: Order) -> NewsOfPets:
    """Says what is new of a line's pet in what is told of the line, by the form that the order is asked by."""
    now = utcnow()  # once: an age is the same day in all that is compared

    def of(line: OrderLine, told: Mapping[str, Any]) -> PetNews | None:
        return pet_news(form_of(session, order), line, told["profile"], now) if line.made_to_order else None

    return of


def _matched(
    session: Session,
    lines: Sequence[OrderLine],
    incoming: IncomingOrder,
    catalogue: Mapping[str, Product],
    news_of: NewsOfPets,
) -> tuple[list[tuple[OrderLine, dict[str, Any]]], list[dict[str, Any]]]:
    """Our lines with what is told of each, and what is told of lines that we do not have.

    Of several with the same id and SKU, those that are alive come first. A line that is made for a pet by now, and
    whose pet is described otherwise, is another line; what was answered on our form and is not news goes with it.
    """
    known = replace(incoming, lines=tuple(line for line in incoming.lines if line.sku in catalogue))
    free = sorted(lines, key=lambda line: (line.cancelled_quantity >= line.quantity, line.line_no))
    begun = _begun(session, [line.id or 0 for line in lines])
    pairs: list[tuple[OrderLine, dict[str, Any]]] = []
    new = []
    for told in line_columns(known, catalogue):
        same = [line for line in free if (line.channel_line_id, line.sku) == (told["channel_line_id"], told["sku"])]
        pets = [(line, news_of(line, told)) for line in same]
        fitting = [line for line, news in pets if line.id not in begun or news is None or not news.is_another]
        if not fitting:
            answers = next((news.answers for _, news in pets if news is not None), {})
            new.append({**told, "answers": answers})
            continue
        free.remove(fitting[0])
        pairs.append((fitting[0], told))
    return pairs, new


def _begun(session: Session, line_ids: Sequence[int]) -> set[int]:
    """Lines that the factory has been told of, or is about to be."""
    rows = session.connection().execute(
        text(
            "SELECT DISTINCT p.order_line_id FROM fulfilment_line p JOIN work_order w"
            " ON w.fulfilment_id = p.fulfilment_id WHERE p.order_line_id = ANY(:ids) AND p.recipe IS NOT NULL"
        ),
        {"ids": list(line_ids)},
    )
    return {id for (id,) in rows}


def _cancel(line: OrderLine, cancelled: int, given_up: int) -> None:
    """So many are cancelled there. Of what is new, as many as we gave up and told it are only repeated to us."""
    more = cancelled - line.cancelled_quantity
    repeated = line.repeated_quantity + min(max(0, more), max(0, given_up - line.repeated_quantity))
    line.cancelled_quantity, line.repeated_quantity = cancelled, min(repeated, cancelled)


def _follow(session: Session, line: OrderLine, told: dict[str, Any], given_up: int, news_of: NewsOfPets) -> bool:
    """Write what is told of a line; whether its pet is described otherwise, and a recipe is to be chosen again."""
    _cancel(line, max(0, min(told["cancelled_quantity"], told["quantity"])), given_up)
    for name in _FOLLOWS:
        setattr(line, name, told[name])
    news = news_of(line, told)
    if news is None:
        return False
    line.profile, line.answers = news.profile, news.answers
    if not news.is_another:
        return False
    for part in session.exec(select(FulfilmentLine).where(FulfilmentLine.order_line_id == line.id)):
        part.recipe = None
        session.add(part)
    return True


def _difference(
    before: Mapping[int, Standing],
    after: Mapping[int, Standing],
    total_before: int,
    total_after: int,
    pets: Sequence[OrderLine],
) -> LinesChange | None:
    was: dict[str, Any] = {}
    becomes: dict[str, Any] = {}
    for id, line in after.items():
        wanted = before[id].wanted if id in before else 0
        if wanted != line.wanted:
            name = f"{line.line_no} {line.sku}"
            was[name], becomes[name] = wanted, line.wanted
    repet = [line for line in pets if after[line.id or 0].wanted]
    moves = bool(was or repet)
    grew = total_after > total_before or bool(repet) or any(becomes[name] > was[name] for name in was)
    if not moves and total_before == total_after:
        return None
    money = {} if total_before == total_after else {"total_fen": total_before}
    money_after = {} if total_before == total_after else {"total_fen": total_after}
    changed_pets = {"pets": [line.line_no for line in repet]} if repet else {}
    return LinesChange(
        before={"lines": was, **money}, after={"lines": becomes, **money_after, **changed_pets},
        moves=moves, grew=grew, repet=bool(repet),
    )  # fmt: skip
