"""The gate before the book: passed, bad data, empty, and broken are four different things to an operator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlmodel import select

from models.database import transact
from models.quarantine import waiting_list
from models.validation import ValidationRun
from models.window import PullMark, PullWindow
from tasks.intake import pull_channel
from tests.database import TemporaryServer
from tests.house import House, house
from tests.orders import Kind, entered, place


@pytest.fixture(scope="module")
def _judging(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("house")
    with house(database_server, directory, overrides={"policy": {"judge_batches": True}}) as furnished:
        yield furnished


async def test_what_becomes_of_a_batch_is_a_row(_judging: House, monkeypatch: pytest.MonkeyPatch) -> None:
    # given nothing to read: that is no pass
    await pull_channel.fn("douyin")
    assert _newest() == ("empty", 0, 0)
    # given good orders
    good = place(_judging, Kind.STOCKED, "douyin", 3)
    await pull_channel.fn("douyin")
    assert _newest() == ("passed", 3, 0)
    # given a bad one among them
    (bad,) = place(_judging, channel="douyin", flaw="missing_address")
    pulled = await pull_channel.fn("douyin")
    assert (_newest(), pulled.error) == (("bad_data", 4, 1), "")
    assert [row.channel_order_id for row in transact(waiting_list)] == [bad]
    assert len(entered(good)) == 3
    # given rules whose two readings differ: nothing enters, the mark stays, and the operator reads why
    mark = transact(lambda session: session.exec(select(PullMark.until).where(PullMark.channel == "douyin")).one())
    more = place(_judging, Kind.STOCKED, "douyin", 2)
    with monkeypatch.context() as breaking:
        breaking.setattr("tasks.quality_gate.broken", lambda row, rules: [])
        pulled = await pull_channel.fn("douyin")
    assert "校验本身坏了" in pulled.error
    assert "address_missing" in pulled.error
    assert _newest()[0] == "broken"
    assert entered(more) == []
    window = transact(lambda session: session.exec(select(PullWindow).order_by(PullWindow.id.desc())).first())  # type: ignore[union-attr]
    assert window is not None and window.state == "failed"
    assert mark == transact(
        lambda session: session.exec(select(PullMark.until).where(PullMark.channel == "douyin")).one()
    )
    # and once they are mended, everything is read from where it was
    await pull_channel.fn("douyin")
    assert len(entered(more)) == 2


def _newest() -> tuple[str, int, int]:
    """Outcome, orders and failed orders of the newest batch."""
    statement = select(ValidationRun).order_by(ValidationRun.id.desc()).limit(1)  # type: ignore[union-attr]
    run = transact(lambda session: session.exec(statement).one())
    return run.outcome, run.orders, run.failed
