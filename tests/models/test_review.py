"""Review: one case, one verdict, and a clear sentence for whoever comes second or too late."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from models.cancellation import request_cancellation
from models.fulfilment import Stage, WaitingOn, fulfilments_of
from models.order import Order, find_order
from models.review import (
    ReviewCase,
    Verdict,
    cases_without_run,
    decide,
    latest_case,
    open_case,
)
from models.timeline import timeline
from tests.models.build import NOW, engine_of, incoming, made, open_shop, taken, waiting, walk
from tests.models.test_stock_at_once import at_once

MINUTE = timedelta(minutes=1)


def under_review(session: Session) -> ReviewCase:
    """SH-1001, costly, waiting for its review."""
    open_shop(session)
    order = taken(session, incoming("1", made(8)))
    walk(session, order.order_no, Stage.RESERVED)
    claim = waiting(session, order, WaitingOn.REVIEW, "金额 792.00 元,超过 500 元")
    case = latest_case(session, claim.fulfilment_id)
    assert case is not None
    return case


def verdicts(session: Session, order_id: int) -> Counter[str]:
    """How often each kind of event stands in the timeline."""
    return Counter(event.kind for event in timeline(session, order_id))


def test_a_verdict_is_taken_written_down_and_wakes_the_order(session: Session) -> None:
    case = under_review(session)
    assert case.id is not None

    taken_, sentence = decide(session, case.id, Verdict.APPROVE, " 李营养 ", "可以", NOW + MINUTE)

    assert (taken_, sentence) == (True, "订单 SH-1001:批准。")
    assert (case.state, case.verdict, case.reviewer, case.note) == ("decided", "approve", "李营养", "可以")
    (part,) = fulfilments_of(session, case.order_id)
    assert part.ready_at == NOW + MINUTE
    assert verdicts(session, case.order_id)["review_decided"] == 1


@pytest.mark.parametrize("second", list(Verdict))
def test_a_second_verdict_changes_nothing_and_says_who_was_first(session: Session, second: Verdict) -> None:
    case = under_review(session)
    assert case.id is not None
    decide(session, case.id, Verdict.REJECT, "李营养", "不合适", NOW + MINUTE)

    taken_, sentence = decide(session, case.id, second, "王营养", "我来", NOW + 10 * MINUTE)

    assert not taken_
    assert sentence == "订单 SH-1001 已由 李营养 于 12:01 拒绝并取消,这次提交没有改变任何内容。"
    assert (case.verdict, case.reviewer, case.note) == ("reject", "李营养", "不合适")
    assert verdicts(session, case.order_id)["review_decided"] == 1


def test_a_verdict_after_the_order_went_away_says_so(session: Session) -> None:
    case = under_review(session)
    assert case.id is not None
    request_cancellation(session, find_order(session, "SH-1001"), "客户取消", "客服", NOW)

    taken_, sentence = decide(session, case.id, Verdict.APPROVE, "李营养", "", NOW + MINUTE)

    assert (taken_, sentence) == (False, "订单 SH-1001 已取消或变更,不再需要审核。")
    assert (case.state, case.verdict) == ("withdrawn", None)


def test_a_late_verdict_still_counts(session: Session) -> None:
    case = under_review(session)
    assert case.id is not None
    assert case.due_at == NOW + 22 * MINUTE

    assert decide(session, case.id, Verdict.APPROVE, "李营养", "", NOW + timedelta(hours=9))[0]


def test_a_case_that_does_not_exist_is_said_to_be_none(session: Session) -> None:
    assert decide(session, 404, Verdict.APPROVE, "李营养", "", NOW) == (
        False,
        "没有编号为 404 的审核:请从「待审核」列表里打开。",
    )


def test_eight_verdicts_at_once_count_once(database_url: str) -> None:
    with engine_of(database_url) as engine:
        with Session(engine) as session:
            case_id = under_review(session).id
            session.commit()
        assert case_id is not None

        def say(who: int, session: Session) -> tuple[bool, str]:
            verdict = [Verdict.APPROVE, Verdict.ASK_CUSTOMER, Verdict.REJECT][who % 3]
            return decide(session, case_id, verdict, f"审核人{who}", "", NOW + MINUTE)

        results = at_once(engine, [partial(say, who) for who in range(8)])

        won = [result for result in results if isinstance(result, tuple) and result[0]]
        assert len(won) == 1
        assert sum("没有改变任何内容" in result[1] for result in results if isinstance(result, tuple)) == 7
        with Session(engine) as session:
            (case,) = session.exec(select(ReviewCase)).all()
            assert verdicts(session, case.order_id)["review_decided"] == 1


def test_a_verdict_and_a_cancellation_at_once_leave_one_truth(database_url: str) -> None:
    with engine_of(database_url) as engine:
        with Session(engine) as session:
            case_id = under_review(session).id
            session.commit()
        assert case_id is not None

        def cancel(session: Session) -> str:
            return request_cancellation(session, find_order(session, "SH-1001"), "取消", "客服", NOW + MINUTE)

        def approve(session: Session) -> tuple[bool, str]:
            return decide(session, case_id, Verdict.APPROVE, "李营养", "", NOW + MINUTE)

        results = at_once(engine, [cancel, approve])

        assert not any(isinstance(result, Exception) for result in results)
        with Session(engine) as session:
            case = session.get_one(ReviewCase, case_id)
            approved = isinstance(results[1], tuple) and results[1][0]
            assert case.state == ("decided" if approved else "withdrawn")
            assert session.get_one(Order, case.order_id).cancel_requested_at is not None


def test_an_open_case_is_opened_once_and_a_new_one_after_a_decision(session: Session) -> None:
    case = under_review(session)
    assert case.id is not None

    same = open_case(session, case.order_id, case.fulfilment_id, ["别的"], 22, NOW)
    assert same.id == case.id
    assert cases_without_run(session) == [case]
    decide(session, case.id, Verdict.ASK_CUSTOMER, "李营养", "体重?", NOW)
    new = open_case(session, case.order_id, case.fulfilment_id, ["补充后再审"], 22, NOW + MINUTE)

    assert new.id != case.id and latest_case(session, case.fulfilment_id) == new
    assert verdicts(session, case.order_id)["review_opened"] == 2


def test_the_database_refuses_a_second_open_case(session: Session) -> None:
    case = under_review(session)
    with pytest.raises(IntegrityError, match="one_open_review"), session.begin_nested():
        session.add(ReviewCase(fulfilment_id=case.fulfilment_id, order_id=case.order_id, opened_at=NOW, due_at=NOW))
        session.flush()
