"""Expiry: a promise that nobody acted on goes back on the shelf, and its order begins again."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import text
from sqlmodel import Session

from models import expiry
from models.allocation import allocate
from models.expiry import expire_reservations
from models.fulfilment import Claim, ClaimLost, Fulfilment, Stage, WaitingOn, advance, hold_on, park
from models.reservation import keep, release
from models.review import CaseState, latest_case, open_case
from models.stock_check import CheckState, answer, latest_check, open_check
from tests.models.build import NOW, claimed, engine_of
from tests.models.stockroom import (
    SZ,
    TERMS,
    assert_accounts_agree,
    events,
    id_of,
    limits,
    open_stockroom,
    order_for,
    part_of,
    parts_of,
    promised,
    shelf,
)
from tests.models.test_backorder import waiting
from tests.models.test_stock_at_once import at_once

OVER = NOW + TERMS.reservation_lasts
BEFORE = OVER - timedelta(seconds=1)


def reserved(session: Session, name: str, pieces: int = 2, wait: WaitingOn = WaitingOn.REVIEW) -> Fulfilment:
    """A fulfilment that is reserved until `OVER`, and waits."""
    order = order_for(session, name, {"A": pieces})
    claim = claimed(session, order)
    (part,) = parts_of(session, order)
    allocate(session, part, "test", NOW, TERMS)
    advance(session, claim, Stage.RESERVED, NOW)
    open_check(session, part, ["A"], 5, NOW)
    park(session, claim, wait, "等", OVER + timedelta(hours=1), now=NOW)
    return part


def test_a_promise_past_its_time_goes_back_and_the_order_begins_again(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 9}})
    part = reserved(session, "1")
    open_case(session, part.order_id, id_of(part), ["金额"], 22, NOW)
    session.refresh(part)
    before = (part.waiting_on, part.waiting_why, part.ready_at, part.wake_seq)

    assert expire_reservations(session, BEFORE) == []
    assert shelf(session, SZ, "A") == (9, 2)
    assert [expire_reservations(session, OVER) for _ in range(2)] == [[part.id], []]

    session.refresh(part)
    assert (part.stage, part.stage_since) == ("received", OVER)
    assert (part.waiting_on, part.waiting_why, part.ready_at, part.wake_seq) == before
    assert shelf(session, SZ, "A") == (9, 0)
    check, case = latest_check(session, id_of(part)), latest_case(session, id_of(part))
    assert check is not None
    assert case is not None
    assert (check.state, case.state) == (CheckState.WITHDRAWN, CaseState.OPEN)
    assert events(session, "reservation_expired") == 1
    taken, said = answer(session, check.id or 0, False, "仓库", OVER, limits())
    assert (taken, "不需要核对" in said) == (False, True)

    allocate(session, part, "test", OVER, TERMS)
    assert promised(session, part) == {(SZ, "A"): 2}
    assert expire_reservations(session, OVER) == []


@pytest.mark.parametrize("stage", [Stage.APPROVED, Stage.PRODUCED])
def test_what_somebody_acts_on_does_not_expire(session: Session, stage: Stage) -> None:
    open_stockroom(session, {SZ: {"A": 9}})
    part = reserved(session, "1")
    part.stage = stage.value
    session.add(part)

    assert expire_reservations(session, OVER) == []  # whatever the promise says, it is past that
    keep(session, id_of(part))
    part.stage = Stage.RESERVED.value
    session.add(part)
    assert expire_reservations(session, OVER) == []
    assert shelf(session, SZ, "A") == (9, 2)


def test_what_is_worked_on_does_not_expire_until_the_claim_does(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 9}})
    order = order_for(session, "1", {"A": 2})
    (part,) = parts_of(session, order)
    allocate(session, part, "test", NOW, TERMS)
    part.stage = Stage.RESERVED.value
    session.add(part)
    session.flush()
    claim = claimed(session, order, OVER)

    assert expire_reservations(session, OVER) == []
    assert expire_reservations(session, OVER + timedelta(seconds=120)) == [part.id]

    with pytest.raises(ClaimLost):  # who held it, and fell asleep, must not approve what is no longer promised
        hold_on(session, claim)
    session.refresh(part)
    assert (part.claimed_by, part.claim_until) == (None, None)


def test_so_many_at_a_time_the_oldest_first(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 9}})
    parts = [reserved(session, str(number)).id for number in range(3)]

    assert [expire_reservations(session, OVER, limit=2) for _ in range(3)] == [parts[:2], parts[2:], []]


def test_who_waits_for_it_gets_it(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 2}})
    reserved(session, "1")
    part = waiting(session, "2", {"A": 1}, paid=0)

    expire_reservations(session, OVER)

    assert [name for name in session.info["afterwards"] if "A" in name]
    for follow_up in session.info.pop("afterwards").values():
        follow_up(session)
    session.refresh(part)
    assert part.wake_seq == 1


def test_what_is_locked_is_passed_over_and_not_waited_for(database_url: str) -> None:
    with engine_of(database_url) as engine, Session(engine) as session, Session(engine) as lane:
        open_stockroom(session, {SZ: {"A": 9}})
        locked, other = reserved(session, "1"), reserved(session, "2")
        session.commit()
        lane.connection().execute(text("SELECT 1 FROM fulfilment WHERE id = :id FOR UPDATE"), {"id": locked.id})

        assert expire_reservations(session, OVER) == [other.id]
        session.commit()
        lane.rollback()
        assert expire_reservations(session, OVER) == [locked.id]


def test_a_promise_made_afresh_meanwhile_stays(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # given: between the look and the lock, it was given back and promised again until later
    with engine_of(database_url) as engine, Session(engine) as session:
        open_stockroom(session, {SZ: {"A": 9}})
        part = reserved(session, "1")
        session.connection().execute(
            text("UPDATE reservation SET expires_at = :later"), {"later": OVER + timedelta(hours=1)}
        )
        session.commit()
        looks_stale = expiry._LOCK.text.replace(" AND expires_at <= :now", "")
        monkeypatch.setattr(expiry, "_LOCK", text(looks_stale))

        assert expire_reservations(session, OVER) == []
        assert promised(session, part) == {(SZ, "A"): 2}


def approve(claim: Claim, session: Session) -> str:
    """What the step does: move on if it is still reserved and ours."""
    part = hold_on(session, claim)
    if part.stage != Stage.RESERVED:
        raise ClaimLost
    advance(session, claim, Stage.APPROVED, OVER)
    keep(session, claim.fulfilment_id)
    return "approved"


def expire(session: Session) -> str:
    """Expire what is due."""
    return f"expired {len(expire_reservations(session, OVER + timedelta(seconds=200)))}"


def test_it_races_with_lanes_with_itself_and_with_new_orders(database_url: str) -> None:
    # given: half of the reserved are in a lane's hands, whose claims have just run out
    with engine_of(database_url) as engine:
        claims: list[Claim] = []
        with Session(engine) as session:
            open_stockroom(session, {SZ: {"A": 60, "B": 60}})
            for number in range(8):
                order = order_for(session, f"R{number}", {"B": 1, "A": 1} if number % 2 else {"A": 1, "B": 1})
                (part,) = parts_of(session, order)
                allocate(session, part, "test", NOW, TERMS)
                part.stage = Stage.RESERVED.value
                session.add(part)
                session.flush()
                if number < 4:
                    claims.append(claimed(session, order, OVER))
            fresh = [part_of(session, f"N{number}", {"A": 2, "B": 2}) for number in range(3)]
            for part in fresh:
                session.refresh(part)
                session.expunge(part)
            session.commit()

        works = [partial(approve, claim) for claim in claims] + [expire, expire, expire]
        news = [partial(_allocate, id_of(part)) for part in fresh]
        results = at_once(engine, [*works, *news])

        with Session(engine) as session:
            assert_accounts_agree(session)
            stages = session.connection().execute(
                text(
                    "SELECT f.stage, count(*), count(r.id) FILTER (WHERE r.state = 'held') FROM fulfilment f"
                    " LEFT JOIN reservation r ON r.fulfilment_id = f.id WHERE f.id <= :last GROUP BY 1"
                ),
                {"last": min(id_of(part) for part in fresh) - 1},
            )
            counted = {stage: (rows, held) for stage, rows, held in stages}
            approved = results.count("approved")
            lost = [result for result in results if isinstance(result, Exception)]
            assert all(isinstance(error, ClaimLost) for error in lost), lost
            assert len(lost) == len(claims) - approved
            # each is promised and approved, or neither
            assert counted.get("approved", (0, 0)) == (2 * approved, 2 * approved)
            left = expire_reservations(session, OVER + timedelta(seconds=200))
            said = sum(int(str(result).split()[1]) for result in results if str(result).startswith("expired"))
            assert approved + said + len(left) == 8
            assert shelf(session, SZ, "A") == (60, approved + 6)


def _allocate(id: int, session: Session) -> list[str]:
    part = session.get_one(Fulfilment, id, with_for_update=True)
    return allocate(session, part, "test", OVER, TERMS)


def test_what_somebody_acts_on_keeps_all_of_it_also_what_was_promised_again(session: Session) -> None:
    # given a fulfilment in production, of whose goods a count took one and a receipt gave it back
    open_stockroom(session, {SZ: {"A": 9, "B": 9}})
    order = order_for(session, "1", {"A": 2, "B": 1})
    claim = claimed(session, order)
    (part,) = parts_of(session, order)
    allocate(session, part, "test", NOW, TERMS)
    keep(session, id_of(part))
    release(session, id_of(part), "test", NOW, "盘点", ["A"])
    allocate(session, part, "feed-backorders", NOW, TERMS)
    park(session, claim, WaitingOn.PERSON, "等人", OVER + timedelta(hours=1), now=NOW)
    # when the new promise is past its time
    assert expire_reservations(session, OVER) == []
    # then nothing that production goes by is given to others
    assert (shelf(session, SZ, "A"), shelf(session, SZ, "B")) == ((9, 2), (9, 1))
