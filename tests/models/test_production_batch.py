"""Batches: who is made together, who may still leave, and that the factory is told of each once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import count

import pytest
from sqlalchemy import text
from sqlmodel import Session, col, select

from models.effect import RELEASE, Attempt, EffectState, begin, effects_of, failed, is_known_outside
from models.fulfilment import Stage, fulfilments_of
from models.order import Order, lock_order
from models.privacy import seal as sealed_bytes
from models.production import WorkOrder, WorkState, take_report
from models.production_batch import (
    Batching,
    BatchState,
    Leaving,
    ProductionBatch,
    fall_apart,
    grams_of,
    join,
    leave,
    lock_with_members,
    members_of,
    released,
    seal,
)
from models.timeline import timeline
from tests.models.build import NOW, WAREHOUSE, engine_of, incoming, made, open_shop, taken, walk
from tests.models.test_stock_at_once import at_once

WAIT = Batching(timedelta(minutes=30), 10_000)
AT_ONCE = Batching(timedelta(), 10_000)
ANSWER = {"batch_no": "B261111-00001", "expected_at": (NOW + timedelta(hours=4)).isoformat()}
_numbers = count(1)


def orders(session: Session, many: int) -> list[Order]:
    """So many approved orders of a shop."""
    open_shop(session)
    placed = [taken(session, incoming(str(number), made(2))) for number in range(1, many + 1)]
    for order in placed:
        walk(session, order.order_no, Stage.APPROVED)
    session.execute(text("UPDATE fulfilment SET claimed_by = NULL, claim_until = NULL"))
    return placed


def work(session: Session, order: Order, grams: int = 3_000, recipe: str = "DOG-DUCK-DRY") -> WorkOrder:
    """A work order of this order's only fulfilment that is in no batch yet."""
    (part,) = fulfilments_of(session, order.id or 0)
    row = WorkOrder(
        work_order_no=f"{order.order_no}-1-{next(_numbers)}",
        fulfilment_id=part.id or 0,
        order_id=order.id or 0,
        sku="DRY-1500",
        quantity=2,
        recipe=recipe,
        grams={"ING-DUCK": grams},
    )
    session.add(row)
    session.flush()
    return row


def put(
    session: Session, works: Sequence[WorkOrder], terms: Batching = WAIT, now: datetime = NOW, version: int = 1
) -> list[ProductionBatch]:
    """Join; the batches in which the work orders are then, in their order."""
    join(session, works, WAREHOUSE, version, terms, now)
    return [session.get_one(ProductionBatch, work.batch_id, populate_existing=True) for work in works]


def told(session: Session, batch: ProductionBatch, state: EffectState | None = None) -> Attempt:
    """The batch is being told to the factory; `state`: what became of the call."""
    seal(session, batch, NOW)
    attempt = begin(session, RELEASE, batch.release_key, sealed_bytes("{}"), NOW)
    assert isinstance(attempt, Attempt)
    if state is not None:
        failed(session, attempt, state, "no", NOW)
    return attempt


def test_one_recipe_version_and_warehouse_within_the_time_is_one_batch(session: Session) -> None:
    first, second, third = orders(session, 3)
    (one,) = put(session, [work(session, first)])
    (two,) = put(session, [work(session, second)], now=NOW + timedelta(minutes=29))
    late, other, newer = (
        *put(session, [work(session, third)], now=NOW + timedelta(minutes=30)),
        *put(session, [work(session, third, recipe="DOG-BEEF-DRY")]),
        *put(session, [work(session, third)], version=2),
    )

    assert one.id == two.id
    assert len({batch.id for batch in (one, late, other, newer)}) == 4
    assert (one.seal_at, one.due_at) == (NOW + timedelta(minutes=30), NOW + timedelta(hours=4))
    assert [batch.is_due(NOW + timedelta(minutes=30)) for batch in (one, late)] == [True, False]
    assert len({batch.batch_no for batch in (one, late, other, newer)}) == 4
    assert all(batch.batch_no.startswith("PB261111-") for batch in (one, late))


def test_without_waiting_each_order_has_a_batch_of_its_own_at_once(session: Session) -> None:
    first, second = orders(session, 2)
    own = put(session, [work(session, first), work(session, first), work(session, first, recipe="OTHER")], AT_ONCE)
    (other,) = put(session, [work(session, second)], AT_ONCE)

    assert [batch.id == own[0].id for batch in own] == [True, True, False]
    assert other.id not in {batch.id for batch in own}
    assert all(batch.is_due(NOW) for batch in [*own, other])


def test_what_does_not_fit_any_more_opens_another_and_the_full_one_is_due(session: Session) -> None:
    first, second, third = orders(session, 3)
    (one,) = put(session, [work(session, first, 6_000)])
    (two,) = put(session, [work(session, second, 4_001)])
    (three,) = put(session, [work(session, third, 5_999)])
    (huge,) = put(session, [work(session, third, 99_000)])

    session.refresh(one)
    assert one.id != two.id == three.id
    assert one.is_due(NOW)
    assert grams_of(members_of(session, two.id or 0)) == 10_000
    assert huge.id not in (one.id, two.id)


def test_two_that_look_at_once_open_one_batch(database_url: str) -> None:
    with engine_of(database_url) as engine:
        with Session(engine) as session:
            ids = [order.id or 0 for order in orders(session, 8)]
            session.commit()

        def enter(order_id: int, session: Session) -> int:
            row = work(session, lock_order(session, order_id), 1_000)
            join(session, [row], WAREHOUSE, 1, WAIT, NOW)
            return row.batch_id or 0

        batches = at_once(engine, [partial(enter, order_id) for order_id in ids])

        assert len(set(batches)) == 1
        with Session(engine) as session:
            assert len(members_of(session, int(str(batches[0])))) == 8


def test_released_every_member_has_its_number_its_time_and_a_row_in_its_timeline(session: Session) -> None:
    first, second = orders(session, 2)
    (batch,) = put(session, [work(session, first)])
    put(session, [work(session, second)])
    (mine,) = fulfilments_of(session, first.id or 0)
    told(session, batch)

    for _ in range(2):
        released(session, batch.id or 0, ANSWER, NOW, by=mine.id or 0)

    assert (batch.state, batch.factory_no, batch.released_at) == (BatchState.RELEASED.value, "B261111-00001", NOW)
    works = members_of(session, batch.id or 0)
    assert {(w.state, w.batch_no, w.expected_at) for w in works} == {
        ("released", batch.batch_no, NOW + timedelta(hours=4))
    }
    for order in (first, second):
        said = [e.detail for e in timeline(session, order.id or 0) if e.kind == "released_to_production"]
        assert [detail["batch_no"] for detail in said] == [batch.batch_no]
    # and whoever did not release it is woken, once
    wakes = [fulfilments_of(session, order.id or 0)[0].wake_seq for order in (first, second)]
    assert wakes == [0, 1]
    assert not join_again(session, second)


def join_again(session: Session, order: Order) -> bool:
    """Whether a work order of this order gets into the batch that is there."""
    before = set(session.exec(select(ProductionBatch.id)))
    return put(session, [work(session, order)])[0].id in before


def test_an_order_of_two_recipes_is_told_as_released_when_both_are(session: Session) -> None:
    (order,) = orders(session, 1)
    one, two = put(session, [work(session, order), work(session, order, recipe="OTHER")])
    for batch, rows in ((one, 0), (two, 1)):
        told(session, batch)
        released(session, batch.id or 0, ANSWER, NOW, by=0)
        kinds = [e.kind for e in timeline(session, order.id or 0)]
        assert kinds.count("released_to_production") == rows


@pytest.mark.parametrize("state", [None, EffectState.INTENDED, EffectState.REFUSED])
def test_who_leaves_before_the_factory_knows_leaves_the_others_behind(
    session: Session, state: EffectState | None
) -> None:
    first, second = orders(session, 2)
    mine, other = work(session, first), work(session, second)
    (batch, _) = (*put(session, [mine]), *put(session, [other]))
    if state is not None:
        told(session, batch, state)

    assert [leave(session, mine, NOW) for _ in range(2)] == [Leaving.LEFT] * 2

    assert (mine.state, mine.batch_id) == ("called_back", None)
    assert members_of(session, batch.id or 0) == [other]
    assert [e.detail["what"] for e in timeline(session, first.id or 0) if e.kind == "called_back"] == [
        mine.work_order_no
    ]
    # and with the last one the batch is gone
    assert leave(session, other, NOW) is Leaving.LEFT
    assert session.exec(select(ProductionBatch)).all() == []


def test_who_may_be_at_the_factory_does_not_just_leave(session: Session) -> None:
    first, second, third = orders(session, 3)
    mine, other, alone = work(session, first), work(session, second), work(session, third, recipe="OTHER")
    (batch, _, single) = (*put(session, [mine]), *put(session, [other]), *put(session, [alone]))
    for each in (batch, single):
        told(session, each, EffectState.UNCLEAR)

    assert [leave(session, row, NOW) for row in (mine, alone)] == [Leaving.UNCLEAR, Leaving.TOLD]

    released(session, batch.id or 0, ANSWER, NOW, by=0)
    assert leave(session, mine, NOW) is Leaving.TOLD
    assert mine.state == WorkState.RELEASED.value


def test_a_refused_batch_falls_apart_into_one_for_each_order(session: Session) -> None:
    first, second = orders(session, 2)
    works = [work(session, first, 1_000), work(session, first, 1_000), work(session, second, 1_000)]
    batch = put(session, works[:2])[0]
    put(session, works[2:])
    lock_with_members(session, first.id or 0, batch.id or 0)
    assert not fall_apart(session, batch.id or 0, NOW)  # nobody was told of it
    told(session, batch, EffectState.REFUSED)

    assert [fall_apart(session, batch.id or 0, NOW) for _ in range(2)] == [True, False]

    batches = list(session.exec(select(ProductionBatch).order_by(col(ProductionBatch.id))))
    assert [len(members_of(session, each.id or 0)) for each in batches] == [2, 1]
    assert all(each.is_due(NOW) for each in batches)
    assert len({each.release_key for each in batches}) == 2
    assert not join_again(session, second)


def test_reports_from_before_the_book_was_restored_count_when_it_is_released(session: Session) -> None:
    (order,) = orders(session, 1)
    number = f"{order.order_no}-1-99"
    kinds = ("completed", "progress")
    taken_as = [take_report(session, f"m-{k}", number, f"work_order.{k}", NOW, {"percent": 40}, NOW) for k in kinds]
    assert taken_as == ["unknown", "unknown"]
    row = work(session, order)
    row.work_order_no = number
    (batch,) = put(session, [row])
    told(session, batch)

    released(session, batch.id or 0, ANSWER, NOW, by=0)

    assert (row.state, row.percent, row.completed_at) == ("completed", 100, NOW)


def test_what_was_told_for_a_batch_is_among_what_was_told_for_each_order(session: Session) -> None:
    first, second = orders(session, 2)
    (batch,) = put(session, [work(session, first)])
    put(session, [work(session, second)])
    told(session, batch)

    for order in (first, second):
        (part,) = fulfilments_of(session, order.id or 0)
        assert [effect.key for effect in effects_of(session, order.id or 0)] == [batch.release_key]
        assert is_known_outside(session, order.id or 0, part.id or 0)
