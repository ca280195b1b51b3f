"""What reviewers see is kept in step with the cases, whatever happened to the runs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prefect.client.orchestration import get_client
from prefect.states import Cancelled
from sqlalchemy import text

from flows.tend_reviews import tend_reviews
from models.database import in_transaction, transact, utcnow
from models.order import Order
from models.review import Verdict, decide
from tasks import review_runs as shown
from tests.carrying import carry, case_of, deploy_reviews, placed, review_runs
from tests.e2e.told_once import assert_shipped_once
from tests.house import House
from tests.orders import Kind
from tests.prefect import RunningServer


async def test_a_case_that_could_not_be_shown_is_shown_later(
    home: House, prefect_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a server that does not know the deployment yet
    order = await placed(home, Kind.COSTLY)
    with monkeypatch.context() as not_yet:
        not_yet.setattr(shown, "REVIEW_DEPLOYMENT", "review-order/not-yet")
        assert (await carry(order)).name == "等待审核"
    assert review_runs(prefect_server, order) == []
    # when it does, and the reconciler runs, and runs again
    await deploy_reviews()
    assert (await _tended()).startswith("补 1")
    assert await _tended() == "一致"
    # then there is one run
    (run,) = review_runs(prefect_server, order)
    assert (run["state_name"], run["id"]) == ("Suspended", (await case_of(order)).run_id)


async def test_a_case_decided_elsewhere_closes_its_run_however_old_it_is(
    home: House, prefect_server: RunningServer
) -> None:
    # given a case that was opened before the weekend
    order = await _under_review(home)
    case = await case_of(order)
    old = text("UPDATE review_case SET opened_at = opened_at - interval '3 days' WHERE id = :id")
    transact(lambda session: session.connection().execute(old, {"id": case.id}))
    # when somebody decides it on the staff page
    await in_transaction(lambda session: decide(session, case.id or 0, Verdict.APPROVE, "王敏", "", utcnow()))
    # then its run is closed, and the order goes on
    assert await _tended() == "关 1"
    assert await _tended() == "一致"
    assert [run["state_name"] for run in review_runs(prefect_server, order)] == ["Cancelled"]
    assert (await carry(order)).name == "已发货"
    assert_shipped_once(home, [order])


async def test_a_run_that_was_ended_or_deleted_in_the_ui_is_shown_again(
    home: House, prefect_server: RunningServer
) -> None:
    # given two open cases, the run of one cancelled and that of the other deleted
    cancelled, deleted = await _under_review(home), await _under_review(home)
    async with get_client() as client:
        (first,), (second,) = review_runs(prefect_server, cancelled), review_runs(prefect_server, deleted)
        await client.set_flow_run_state(first["id"], Cancelled(), force=True)
        await client.delete_flow_run(second["id"])
    # when the reconciler runs
    assert (await _tended()).startswith("补 2")
    # then both are there to be decided
    for order in (cancelled, deleted):
        suspended = [run for run in review_runs(prefect_server, order) if run["state_name"] == "Suspended"]
        assert [run["id"] for run in suspended] == [(await case_of(order)).run_id]
    assert await _tended() == "一致"


async def test_a_run_that_its_case_has_never_heard_of_is_closed_with_the_case(
    home: House, prefect_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given two runs whose maker died before it could write down that they are there
    await deploy_reviews()
    decided, shown_again = [await placed(home, Kind.COSTLY) for _ in range(2)]
    with monkeypatch.context() as dying:
        dying.setattr(shown, "remember_run", _dies)
        for order in (decided, shown_again):
            assert (await carry(order)).name == "等待审核"
    assert {(await case_of(order)).run_id for order in (decided, shown_again)} == {None}
    # when one case is decided on the staff page, and another run shows the other
    case, other = await case_of(decided), await case_of(shown_again)
    await in_transaction(lambda session: decide(session, case.id or 0, Verdict.APPROVE, "王敏", "", utcnow()))
    other.run_attempt += 1
    await shown.show_case(other)
    # then what nobody needs is closed, and what shows a case is not
    assert (await _tended()).startswith("关 2")
    assert not (await _tended()).startswith("关")
    assert [run["state_name"] for run in review_runs(prefect_server, decided)] == ["Cancelled"]
    of_other = {run["id"]: run["state_name"] for run in review_runs(prefect_server, shown_again)}
    assert sorted(of_other.values()) == ["Cancelled", "Suspended"]
    assert of_other[str((await case_of(shown_again)).run_id)] == "Suspended"


def _dies(*_: object) -> None:
    raise RuntimeError("the process is gone")


async def _under_review(home: House) -> Order:
    await deploy_reviews()
    order = await placed(home, Kind.COSTLY)
    await carry(order)
    assert (await case_of(order)).due_at > utcnow() + timedelta(minutes=1)
    return order


async def _tended() -> str:
    return str((await tend_reviews(return_state=True)).name)
