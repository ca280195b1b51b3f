"""What an order's page says of its parts and parcels: what each carries, with whom it travels, what may be changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from models.company import could_go_with, why_too_late
from models.fulfilment import Fulfilment, Stage, carried_by, fulfilments_of
from models.order import Order, OrderLine, lines_of
from models.order_page import EventView
from models.parcel import Parcel, parcel_of
from models.shared_parcel import SharedParcel, SharedState, company_of, travellers, travellers_of
from models.splitting import being_made
from models.timeline import EventKind

COMPANY = {
    SharedState.OPEN: "备齐后一起出运单",
    SharedState.SEALED: "一张运单",
    SharedState.UNDOING: "正在撤回运单,之后各自发出",
}


@dataclass(frozen=True)
class Piece:
    """Pieces of one line that a part carries. `stays`: they are being made, and cannot go to another part."""

    line_id: int
    title: str
    quantity: int
    stays: bool


@dataclass(frozen=True)
class Fellow:
    """Another order's part in the same parcel, or one that may be."""

    order_no: str
    number: str
    ready: bool = False
    placed_at: datetime | None = None


@dataclass(frozen=True)
class PartView:
    """One part of the order. `late`: why its parcel cannot be changed any more; `into`: where it was put back."""

    row: Fulfilment
    number: str
    pieces: tuple[Piece, ...]
    parcel: Parcel | None
    shared: SharedParcel | None
    company: tuple[Fellow, ...]
    could_go_with: tuple[Fellow, ...]
    late: str
    into: str

    @property
    def may_be_split(self) -> bool:
        """Whether something of it may go elsewhere and something would stay."""
        return (
            not self.late and sum(piece.quantity for piece in self.pieces) > 1 and not all(p.stays for p in self.pieces)
        )

    @property
    def together(self) -> str:
        """How far the shared parcel is."""
        return COMPANY.get(SharedState(self.shared.state), "") if self.shared is not None else ""

    @property
    def may_part(self) -> bool:
        """Whether it may still go alone."""
        return self.shared is not None and not Stage(self.row.stage).reached(Stage.SHIPPED)


@dataclass(frozen=True)
class Parts:
    """The parts of one order, by number."""

    rows: tuple[PartView, ...]

    @property
    def joinable(self) -> tuple[PartView, ...]:
        """Those that may still be put together with another."""
        live = tuple(part for part in self.rows if not part.late)
        return live if len(live) > 1 else ()

    def word(self, number: int, stage: str) -> str:
        """The stage of a part in the headline; of one that was put back into another, where it is."""
        return next((f"已并入 {part.into}" for part in self.rows if part.row.number == number and part.into), stage)


def parts_of(session: Session, order: Order, events: tuple[EventView, ...]) -> Parts:
    """The parts of this order as they are now, with `events` of its timeline."""
    assert order.id is not None
    lines = {line.id: line for line in lines_of(session, order.id)}
    into = {event.fulfilment: str(event.detail.get("into", "")) for event in events if event.kind == EventKind.JOINED}
    return Parts(tuple(_part(session, order, row, lines, into) for row in fulfilments_of(session, order.id)))


def _part(
    session: Session,
    order: Order,
    row: Fulfilment,
    lines: dict[int | None, OrderLine],
    into: dict[int | None, str],
) -> PartView:
    id = row.id or 0
    (me,) = travellers(session, [id])
    late = why_too_late(session, me) or ("还没有核实付款" if order.payment_verified_at is None else "")
    shared = company_of(session, id)
    if not late and shared is not None and shared.state != SharedState.OPEN.value:
        late = "的合并包裹正在出运单"
    made = {work.sku for work in being_made(session, row)}
    fellows = travellers_of(session, shared.id) if shared is not None and shared.id is not None else []
    return PartView(
        row=row,
        number=f"{order.order_no}-{row.number}",
        pieces=tuple(_piece(lines[each.order_line_id], each.quantity, made) for each in carried_by(session, id)),
        parcel=parcel_of(session, id),
        shared=shared,
        company=tuple(
            Fellow(one.order.order_no, one.number, one.member is not None and one.member.ready_at is not None)
            for one in fellows
            if one.id != id
        ),
        could_go_with=tuple(
            Fellow(one.order.order_no, one.number, placed_at=one.order.placed_at)
            for one in ([] if late else could_go_with(session, id))
        ),
        late=late,
        into=into.get(row.number, "") if row.stage == Stage.CANCELLED.value else "",
    )


def _piece(line: OrderLine, quantity: int, made: set[str]) -> Piece:
    return Piece(line.id or 0, line.title or line.sku, quantity, line.made_to_order and line.sku in made)
