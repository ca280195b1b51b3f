"""`/`: where everything is, as a matrix of stage and waiting reason; and the orders behind each number of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from sqlmodel import Session
from starlette.responses import Response

from integrations.portal.people import Visit, page
from models.board import MOVING, Board, Cell, matrix, recent_orders
from models.channel_stock import SHELVED
from models.fulfilment import Stage, WaitingOn
from models.wording import STAGE_WORDS, WAITING_WORDS, say

PER_PAGE = 50
#: Further back than this one searches instead of turning pages.
LAST_PAGE = 20
MOVING_WORDS = "处理中或就绪"
LONGEST_QUERY = 100


@dataclass(frozen=True)
class Filters:
    """What the list is narrowed to; empty means everything."""

    query: str
    stage: str
    waiting: str
    channel: str

    def link(self, **changes: str | int) -> str:
        """The address of the board with these filters, some of them changed."""
        wanted: dict[str, str | int] = {
            "q": self.query,
            "stage": self.stage,
            "waiting": self.waiting,
            "channel": self.channel,
            **changes,
        }
        kept = {name: value for name, value in wanted.items() if value}
        return f"/?{urlencode(kept)}" if kept else "/"

    @property
    def any(self) -> bool:
        """Whether the list is narrowed at all."""
        return bool(self.query or self.stage or self.waiting or self.channel)


@page
def board(visit: Visit, session: Session) -> Response:
    """The board and a page of orders, newest first."""
    asked = visit.request.query_params
    filters = read_filters(asked)
    number = min(max(int(asked["page"]) if asked.get("page", "").isdecimal() else 1, 1), LAST_PAGE)
    rows = recent_orders(
        session,
        PER_PAGE * number + 1,
        stage=filters.stage or None,
        waiting=filters.waiting or None,
        channel=filters.channel or None,
        query=filters.query,
    )
    now_here = matrix(session, visit.now)
    values = {
        "board": now_here,
        "table": _table(now_here),
        "filters": filters,
        "stages": [stage.value for stage in Stage],
        "waitings": waitings(),
        "channels": sorted({*SHELVED, *now_here.channels}),
        "orders": rows[PER_PAGE * (number - 1) : PER_PAGE * number],
        "number": number,
        "more": len(rows) > PER_PAGE * number and number < LAST_PAGE,
    }
    return visit.render(session, "board.html", values)


def read_filters(asked: Mapping[str, str]) -> Filters:
    """The filters in an address; what is none of ours is left out."""

    def one_of(name: str, known: Mapping[str, object]) -> str:
        value = asked.get(name, "")
        return value if value in known else ""

    channel = asked.get("channel", "")
    return Filters(
        query=asked.get("q", "").strip()[:LONGEST_QUERY],
        stage=one_of("stage", STAGE_WORDS),
        waiting=one_of("waiting", waitings()),
        channel=channel if channel.isidentifier() and len(channel) <= 40 else "",
    )


def waitings() -> dict[str, str]:
    """Every value of the waiting filter, and its word."""
    return {MOVING: MOVING_WORDS, **{on.value: say(WAITING_WORDS, on.value) for on in WaitingOn}}


@dataclass(frozen=True)
class Row:
    """One stage of the matrix: its cells in the order of the columns (None: nobody), and their sum."""

    stage: str
    cells: tuple[Cell | None, ...]
    count: int


@dataclass(frozen=True)
class Table:
    """The matrix, with only the columns and rows that hold somebody. `columns` are waiting filters."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def _table(board: Board) -> Table:
    cells = {(cell.stage, cell.waiting_on or MOVING): cell for cell in board.cells}
    columns = tuple(waiting for waiting in waitings() if any(waiting == of for _, of in cells))
    rows = []
    for stage in Stage:
        there = tuple(cells.get((stage.value, waiting)) for waiting in columns)
        count = sum(cell.count for cell in there if cell)
        if count:
            rows.append(Row(stage.value, there, count))
    return Table(columns, tuple(rows))
