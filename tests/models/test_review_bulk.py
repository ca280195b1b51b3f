"""Which reviews are meant when many are approved at once, and what becomes of those that cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from sqlmodel import Session

from models.order import Order
from models.review import ReviewCase
from models.review_bulk import Wanted, approve, find
from tests.models.build import NOW
from tests.models.review_cases import MINUTE, a_case, decided

COSTLY = "金额 * 元,超过 500 元"


def ids(session: Session, **wanted: Any) -> list[int | None]:
    return [found.case_id for found in find(session, Wanted(**wanted))]


def number(session: Session, case: ReviewCase) -> str:
    return session.get_one(Order, case.order_id).order_no


def test_open_ones_are_narrowed_by_role_reason_and_amount(session: Session) -> None:
    small = a_case(session, total_fen=60_000, reasons=["金额 600 元,超过 500 元"])
    large = a_case(session, total_fen=600_000, reasons=["金额 6000 元,超过 500 元"])
    both = a_case(session, total_fen=60_000, reasons=["金额 600 元,超过 500 元", "特殊配方:处方粮"])
    other = a_case(session, total_fen=60_000, role="finance", reasons=["金额 600 元,超过 500 元"])
    decided(a_case(session, total_fen=60_000), 1)

    assert ids(session, role="nutritionist") == [small.id, large.id, both.id]
    assert ids(session, reason=COSTLY) == [small.id, large.id, other.id]
    assert ids(session, reason=COSTLY, role="nutritionist", up_to_fen=60_000) == [small.id]
    assert ids(session, reason="金额 600 元,超过 500 元", role="finance") == [other.id]
    assert ids(session, reason="金额 % 元,超过 500 元") == []
    assert ids(session, up_to_fen=10) == []


def test_listed_ones_are_found_by_order_and_by_number_decided_or_not(session: Session) -> None:
    open_, late = a_case(session), decided(a_case(session), 1)
    session.flush()

    found = find(
        session, Wanted(orders=[f" {number(session, late).lower()} ", "SH-1", "\x00"], cases=[open_.id or 0, -4])
    )

    assert {one.case_id for one in found} == {open_.id, late.id, None}
    assert [one.asked for one in found if one.case_id is None] == ["SH-1", "\x00", "-4"]


def test_a_late_one_is_answered_and_not_touched(session: Session) -> None:
    open_, late = a_case(session), decided(a_case(session), 1)
    session.flush()

    outcomes = [
        approve(session, found, "李雷", "", NOW + MINUTE)
        for found in find(session, Wanted(cases=[open_.id or 0, late.id or 0, 999]))
    ]

    assert [taken for taken, _ in outcomes] == [True, False, False]
    assert "已由 王敏 于" in outcomes[1][1] and "没有改变" in outcomes[1][1]
    assert outcomes[2][1].startswith("999:没有这样的审核")
    assert (open_.verdict, open_.reviewer, late.reviewer) == ("approve", "李雷", "王敏")


@pytest.mark.parametrize(("wanted", "everything"), [({}, True), ({"role": "finance"}, False), ({"cases": [1]}, False)])
def test_all_that_is_open_is_never_meant_by_saying_nothing(wanted: dict[str, Any], everything: bool) -> None:
    assert Wanted(**wanted).everything is everything
