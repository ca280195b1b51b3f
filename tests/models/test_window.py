"""Pull windows: marks that a wrong clock set, and gaps that cannot be read again."""

from __future__ import annotations

from datetime import timedelta

from sqlmodel import Session

from models import window
from models.window import MOST_TRIES, PullMark, PullWindow, Why, WindowState
from models.window_history import history_of
from tests.models.build import NOW

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
SHOP = ("shopify", "momo")


def next_of(session: Session, at: timedelta) -> tuple[timedelta, timedelta]:
    """The next window, from NOW."""
    since, until = window.next_window(session, *SHOP, NOW + at, 5 * MINUTE, 2 * DAY)
    return since - NOW, until - NOW


def mark_of(session: Session) -> timedelta:
    return session.get_one(PullMark, SHOP, populate_existing=True).until - NOW


def test_a_mark_that_a_wrong_clock_set_ahead_hides_no_orders(session: Session) -> None:
    # given a shop that was read while the clock was a day ahead
    window.mark_read(session, *SHOP, NOW + DAY, {}, NOW + DAY)
    # when the clock is right again, then the next window is not empty: it reaches back as for a new shop
    assert next_of(session, MINUTE) == (MINUTE - 2 * DAY, MINUTE)
    # and from then on the mark is right
    window.mark_read(session, *SHOP, NOW + MINUTE, {}, NOW + MINUTE)
    assert mark_of(session) == MINUTE
    assert next_of(session, 16 * MINUTE) == (-4 * MINUTE, 16 * MINUTE)


def test_the_mark_moves_forward_whatever_order_readings_end_in(session: Session) -> None:
    window.mark_read(session, *SHOP, NOW, {}, NOW + MINUTE)
    window.mark_read(session, *SHOP, NOW - 2 * MINUTE, {}, NOW + 2 * MINUTE)
    assert mark_of(session) == timedelta()
    assert next_of(session, 15 * MINUTE) == (-5 * MINUTE, 15 * MINUTE)


def test_a_gap_that_cannot_be_read_again_is_a_persons_at_last(session: Session) -> None:
    # given a window with a gap
    row = window.begin(session, *SHOP, NOW - DAY, NOW, Why.PULL, NOW)
    assert row.id is not None
    window.end(session, row.id, 2, 1, ["7"], 0, {}, NOW)
    # when reading it again fails again and again
    for _ in range(MOST_TRIES - 2):
        window.fail(session, row.id, "too long ago", NOW)
    assert state(session, row.id) == WindowState.GAP
    window.fail(session, row.id, "too long ago", NOW)
    # then it is not tried for ever, and not forgotten
    assert state(session, row.id) == WindowState.UNEXPLAINED
    assert window.due_gaps(session, *SHOP, NOW + DAY) == []
    assert [(open.id, open.missing) for open in window.open_windows(session)] == [(row.id, ["7"])]


def state(session: Session, id: int) -> str:
    return session.get_one(PullWindow, id).state


def test_old_readings_are_forgotten_unless_something_was_missing(session: Session) -> None:
    # given readings of long ago: one whole at once, one after a second try, one broken off, one with a gap
    ids = [window.begin(session, *SHOP, NOW, NOW, Why.PULL, NOW).id or 0 for _ in range(5)]
    window.end(session, ids[0], 1, 1, [], 0, {}, NOW)
    window.end(session, ids[1], 2, 1, ["7"], 0, {}, NOW)
    window.end(session, ids[1], 2, 2, [], 1, {}, NOW)
    window.fail(session, ids[2], "down", NOW)
    window.end(session, ids[3], 2, 1, ["8"], 0, {}, NOW)
    window.end(session, ids[4], 2, 1, ["9"], 0, {}, NOW)
    window.explain_gap(session, ids[4], "小林", "买家删除了订单", NOW)
    session.flush()
    # when what was begun before a later moment is forgotten
    assert window.forget(session, NOW) == 0
    assert window.forget(session, NOW + MINUTE) == 3
    # then what lacks something stays, and what somebody explained
    assert [row.id for row in reversed(window.latest_windows(session))] == ids[3:]
    assert [len(events) for events in history_of(session, ids).values()] == [1, 2]
