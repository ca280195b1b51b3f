"""How reviews go: shares, times and groups, and what is said when there is nothing to say."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlmodel import Session

from models.matrix import Asked
from models.review_board import review_board
from models.ruling import keep_ruling
from tests.models.build import NOW
from tests.models.factories import an_order
from tests.models.review_cases import COSTLY, MINUTE, a_case, decided

DAY = timedelta(days=1)


def test_without_orders_and_reviews_nothing_is_claimed(session: Session) -> None:
    board = review_board(session, NOW - DAY, NOW)

    assert (board.ruled, board.straight_share, board.in_time_share) == (0, None, None)
    assert (board.all.opened, board.all.decided, board.all.median, board.all.p95) == (0, 0, None, None)
    assert (board.open, board.overdue, board.withdrawn, board.verdicts) == (0, 0, 0, {})
    assert board.by_role == board.by_reason == board.by_reviewer == board.by_day == ()


def test_straight_through_is_what_the_matrix_asked_nobody_about(session: Session) -> None:
    for number in range(4):
        order = an_order(session, NOW, f"SH-{number + 1}")
        route = [Asked("nutritionist", (COSTLY,), 22, ("amount",))] if number == 0 else []
        keep_ruling(session, order.id or 0, {}, {}, [], route, NOW)
    too_old = an_order(session, NOW, "SH-9")
    keep_ruling(session, too_old.id or 0, {}, {}, [], [], NOW - 2 * DAY)

    board = review_board(session, NOW - DAY, NOW + MINUTE)

    assert (board.ruled, board.straight, board.straight_share) == (4, 3, 0.75)


def test_times_are_from_opened_to_decided_against_what_was_due(session: Session) -> None:
    for minutes in (2, 4, 6, 8, 40):
        decided(a_case(session, NOW - DAY), minutes)
    overdue, fresh = a_case(session, NOW - 30 * MINUTE), a_case(session, NOW - 5 * MINUTE)
    overdue.reminded_at = overdue.escalated_at = NOW
    a_case(session, NOW - DAY, state="withdrawn")
    decided(a_case(session, NOW - 3 * DAY), 1)  # before what is asked for
    session.add(fresh)

    board = review_board(session, NOW - 2 * DAY, NOW)

    assert (board.all.opened, board.all.decided, board.all.in_time, board.all.late) == (7, 5, 4, 2)
    assert board.all.median == pytest.approx(6.0)
    assert board.all.p95 == pytest.approx(8 + 0.8 * 32)  # four fifths of the way from the fourth to the fifth
    assert (board.open, board.overdue, board.withdrawn) == (2, 1, 1)
    assert (board.all.reminded, board.all.escalated) == (1, 1)
    assert board.in_time_share == 0.8


def test_groups_are_by_role_reason_reviewer_and_day(session: Session) -> None:
    decided(a_case(session, NOW - DAY, reasons=["金额 792 元,超过 500 元", "特殊配方:处方粮"]), 10)
    decided(a_case(session, NOW - DAY, reasons=["金额 1,650.5 元,超过 500 元"]), 20, "李雷", "reject")
    a_case(session, NOW - MINUTE, role="finance", reasons=["地址有风险"])

    board = review_board(session, NOW - 2 * DAY, NOW)

    assert [(g.name, g.opened, g.decided) for g in board.by_role] == [("nutritionist", 2, 2), ("finance", 1, 0)]
    assert [(g.name, g.opened, g.median) for g in board.by_reason] == [
        ("金额 … 元,超过 500 元", 2, 15.0),
        ("地址有风险", 1, None),
        ("特殊配方:处方粮", 1, 10.0),
    ]
    assert {(g.name, g.median) for g in board.by_reviewer} == {("王敏", 10.0), ("李雷", 20.0)}
    assert [g.opened for g in board.by_day] == [2, 1]
    assert board.verdicts == {"approve": 1, "reject": 1}


def test_no_number_of_a_customer_is_in_a_reason(session: Session) -> None:
    for number in ("13812345678", "138 1234 5678"):
        a_case(session, reasons=[f"特殊配方 2 种,过敏原 问{number}"], role="finance")
    a_case(session, reasons=["特殊配方 3 种,过敏原 袋鼠"], role="finance")

    reasons = {times.name for times in review_board(session, NOW - DAY, NOW + MINUTE).by_reason}

    assert reasons == {"特殊配方 … 种,过敏原 问…", "特殊配方 … 种,过敏原 袋鼠"}
