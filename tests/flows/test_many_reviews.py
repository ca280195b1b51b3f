"""A hundred waiting reviews: a hundred suspended runs, no process, and no more of either however often one looks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import Session, col, select

from flows.tend_reviews import tend_reviews
from models.database import transact, utcnow
from models.review import ReviewCase, Verdict, decide
from tests.carrying import deploy_reviews, runs, stored_input
from tests.database import TemporaryServer
from tests.house import House, house
from tests.models.review_cases import a_case
from tests.prefect import RunningServer

MANY = 100
#: Seconds in which they are shown, on two slow cores: a person is told of an order within the minute.
IN_TIME = 45.0


@pytest.fixture
def full(database_server: TemporaryServer, tmp_path: Path) -> Iterator[House]:
    """A house of its own: what waits here is nobody else's."""
    with house(database_server, tmp_path) as furnished:
        yield furnished


async def test_a_hundred_waiting_reviews_are_a_hundred_suspended_runs(
    full: House, prefect_server: RunningServer
) -> None:
    # given a hundred open cases that nobody can see
    await deploy_reviews()
    now = utcnow()
    ids = transact(lambda session: [a_case(session, now, run_id=None).id or 0 for _ in range(MANY)])
    # when the reconciler looks, and looks again
    began = time.monotonic()
    first = (await tend_reviews(return_state=True)).name
    took = time.monotonic() - began
    second = (await tend_reviews(return_state=True)).name
    # then each has one run, suspended, with its form and page, that no process has ever worked on
    assert (first, second) == (f"补 {MANY} 通知 {MANY}", "一致")
    shown = _runs(prefect_server, ids)
    assert Counter(run["state_name"] for run in shown) == {"Suspended": MANY}
    assert {run["parameters"]["case_id"] for run in shown} == set(ids)
    assert {(run["run_count"], run["infrastructure_pid"], run["start_time"]) for run in shown} == {(0, None, None)}
    assert all(stored_input(prefect_server, run["id"], "suspended-review-schema") for run in shown[::20])
    # one message has told the role of all of them
    (message,) = [m["content"] for m in full.sandbox.world.window("wecom_message")]
    assert f"**待审核** {MANY} 单" in message and "另有 90 单" in message
    assert took < IN_TIME, f"{took:.1f} s for {MANY}"
    # and when they are decided elsewhere, their runs are closed in one look
    transact(lambda session: _decide_all(session, ids))
    assert (await tend_reviews(return_state=True)).name == f"关 {MANY}"
    assert Counter(run["state_name"] for run in _runs(prefect_server, ids)) == {"Cancelled": MANY}
    print(f"{MANY} suspended runs made in {took:.1f} s")


def _runs(server: RunningServer, ids: list[int]) -> list[dict[str, object]]:
    """The runs that the cases name."""
    cases = transact(lambda session: session.exec(select(ReviewCase).where(col(ReviewCase.id).in_(ids))).all())
    return runs(server, id={"any_": [case.run_id for case in cases]})


def _decide_all(session: Session, ids: list[int]) -> None:
    for id in ids:
        assert decide(session, id, Verdict.APPROVE, "李雷", "", utcnow())[0]
