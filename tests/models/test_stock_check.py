"""A stock check of what has gone into production already: it was there, and nobody can miss it any more."""

from __future__ import annotations

from sqlmodel import Session

from models.allocation import allocate
from models.compensation import compensation_of
from models.reservation import consume
from models.stock_check import CheckState, answer, latest_check, open_check, settle_if_used_up
from tests.models.build import NOW
from tests.models.stockroom import SZ, TERMS, id_of, limits, open_stockroom, part_of


def asked_about(session: Session) -> int:
    """The id of a fulfilment that is promised four A, with an open check."""
    open_stockroom(session, {SZ: {"A": 5}})
    part = part_of(session, "1", {"A": 4}, paid=0)
    allocate(session, part, "test", NOW, TERMS)
    open_check(session, part, ["A"], 5, NOW)
    return id_of(part)


def test_what_was_used_up_is_not_missing(session: Session) -> None:
    part = asked_about(session)
    check = latest_check(session, part)
    assert check is not None and check.id is not None
    consume(session, part, "production", NOW)

    taken, sentence = answer(session, check.id, False, "仓库", NOW, limits())

    assert not taken and "已经投入生产" in sentence
    assert compensation_of(session, part) is None
    # and it is closed when the batch is made, once
    for _ in range(2):
        settle_if_used_up(session, part, NOW)
    session.refresh(check)
    assert (check.state, check.answered_by) == (CheckState.THERE.value, "production")


def test_what_is_still_to_be_packed_is_still_asked_for(session: Session) -> None:
    part = asked_about(session)

    settle_if_used_up(session, part, NOW)

    check = latest_check(session, part)
    assert check is not None and check.state == CheckState.OPEN.value
