"""What shadow mode does instead of telling: the bytes kept, the answer assumed, nothing sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from integrations.sandbox.shelves import shown, stock_shelves
from models import effect
from models.cancellation import request_cancellation
from models.channel_stock import note_seen, of_channel
from models.database import transact, utcnow
from models.effect import Effect, EffectKind, EffectState, Once
from models.fulfilment import Stage
from models.order import Contact, Order
from models.parcel import parcel_of
from models.privacy import unseal
from models.production import WorkState
from models.review import CaseState, latest_case
from models.shadow import BookMixed, ShadowPush, open_book_as, people_shipped_at, shipped_by_people
from models.timeline import EventKind, timeline
from tasks.outside import platforms
from tasks.shadow import ASSUMPTIONS, SIGNED_IN, NothingAssumed, sentences
from tasks.shelves import Change, publish_shelf
from tasks.telling import tell_once
from tests.carrying import carry, claim, deploy_reviews, holds, placed
from tests.database import TemporaryServer
from tests.house import House, with_policy
from tests.orders import Kind, fulfilment_of
from tests.prefect import RunningServer
from tests.shadows import arrived, batches_are_due, people_at_work, shadow_house

Answers = list[dict[str, Any] | None]


@pytest.fixture(scope="module")
def _paper(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with shadow_house(database_server, tmp_path_factory.mktemp("shadow")) as home:
        yield home


@pytest.fixture
def paper(_paper: House) -> Iterator[House]:
    """A house in shadow; whatever the test did, nothing arrived at its platforms."""
    yield _paper
    assert arrived(_paper.sandbox.world) == {}


async def _never(request: bytes) -> dict[str, Any]:
    raise AssertionError("in shadow mode nobody is called")


def _effect(key: str) -> Effect:
    return transact(lambda session: session.exec(select(Effect).where(Effect.key == key)).one())


async def test_what_would_have_been_told_is_kept_with_its_bytes_and_an_assumed_answer(paper: House) -> None:
    mine = await claim(await placed(paper))
    settled: Answers = []
    key = f"waybill-{mine.fulfilment_no}"
    for words in ("first", "second"):
        await tell_once(
            mine, effect.WAYBILL, key, lambda _, w=words: w.encode(), _never, lambda _, answer: settled.append(answer)
        )  # fmt: skip
    kept = _effect(key)
    assert (kept.state, kept.attempts, kept.lease_until) == (EffectState.SHADOW, 1, None)
    assert unseal(kept.request) == "first"
    assert kept.settled_at is not None
    assert settled == [{"waybill_no": f"SHADOW-{key}", "carrier": "sf_express"}] * 2


async def test_a_kind_of_effect_that_nothing_is_assumed_of_is_not_intended_either(paper: House) -> None:
    mine = await claim(await placed(paper))
    kind = EffectKind("carrier_pigeon", Once.KEYED)
    with pytest.raises(NothingAssumed, match="carrier_pigeon"):
        await tell_once(mine, kind, "pigeon-1", lambda _: b"coo", _never, lambda *_: None)
    assert transact(lambda session: session.exec(select(Effect).where(Effect.key == "pigeon-1")).first()) is None


def test_every_kind_of_effect_has_an_assumption_and_each_its_sentence() -> None:
    assert set(ASSUMPTIONS) == set(effect.KINDS)
    assert len(set(sentences())) == len(sentences())
    assert all(sentence.endswith(("。", ")")) for sentence in sentences())


@pytest.mark.parametrize("channel", ["shopify", "wechat_shop", "douyin"])
async def test_a_made_order_is_released_made_at_its_time_and_shipped_on_paper(
    paper: House, prefect_server: RunningServer, channel: str
) -> None:
    order = await placed(paper, Kind.MADE, channel)
    assert (await carry(order)).name == "等待生产完成"
    batches_are_due()
    await carry(order)
    part = fulfilment_of(order)
    assert (part.stage, part.waiting_on) == (Stage.SHIPPED, "carrier")
    parcel = transact(lambda session: parcel_of(session, part.id or 0))
    assert parcel is not None and parcel.waybill_no.startswith("SHADOW-")
    kinds = {one.kind: one.state for one in transact(lambda session: effect.effects_of(session, order.id or 0))}
    assert kinds == dict.fromkeys(("production_release", "waybill", "ship_notice", "sms"), EffectState.SHADOW.value)
    rows = transact(lambda session: timeline(session, order.id or 0))
    assert all(row.detail.get("shadow") is True for row in rows if row.kind != EventKind.RECEIVED)
    assert {row.detail.get("state") for row in rows if row.kind == EventKind.PRODUCTION_REPORTED} == {
        WorkState.COMPLETED.value
    }


async def test_a_mask_is_not_lifted_and_will_do(paper: House, prefect_server: RunningServer) -> None:
    order = await placed(paper, channel="douyin")
    await carry(order)
    assert fulfilment_of(order).stage == Stage.SHIPPED
    contact = transact(lambda session: session.get_one(Contact, order.contact_id))
    assert contact.only_masked
    kept = _effect(f"waybill-{order.order_no}-1")
    assert "*" in unseal(kept.request)


async def test_a_parcel_is_signed_for_at_its_assumed_time(paper: House, prefect_server: RunningServer) -> None:
    order = await placed(paper)
    await carry(order)

    def let_two_days_pass(session: Session) -> None:
        parcel = parcel_of(session, fulfilment_of(order).id or 0)
        assert parcel is not None
        parcel.created_at = utcnow() - SIGNED_IN
        session.add(parcel)

    transact(let_two_days_pass)
    await carry(order)
    assert fulfilment_of(order).stage == Stage.DELIVERED


async def test_a_cancelled_order_is_called_back_and_paid_back_on_paper(
    paper: House, prefect_server: RunningServer
) -> None:
    order = await placed(paper, Kind.MADE)
    await carry(order)

    def cancel(session: Session) -> None:
        request_cancellation(session, session.get_one(Order, order.id), "客户不要了", "test", utcnow())

    transact(cancel)
    await carry(order)
    assert fulfilment_of(order).stage == Stage.CANCELLED
    told = {one.kind: one for one in transact(lambda session: effect.effects_of(session, order.id or 0))}
    assert told["refund"].response["refunded_fen"] == order.paid_fen
    assert told["production_cancel"].response == {"stopped": True}
    assert {one.state for one in told.values()} == {EffectState.SHADOW}


async def test_a_review_stays_open_unless_the_policy_assumes_approval(
    paper: House, prefect_server: RunningServer
) -> None:
    await deploy_reviews()
    order = await placed(paper, Kind.COSTLY)
    await carry(order)
    transact(_its_time_is_over)
    await carry(order)
    assert fulfilment_of(order).waiting_on == "review"
    with with_policy(shadow_reviews="approve"):
        await carry(order)
    assert fulfilment_of(order).stage == Stage.SHIPPED
    case = transact(lambda session: latest_case(session, fulfilment_of(order).id or 0))
    assert case is not None and (case.state, case.reviewer) == (CaseState.DECIDED, "影子模式")


def _its_time_is_over(session: Session) -> None:
    session.connection().execute(text("UPDATE review_case SET due_at = opened_at"))


async def test_stock_is_looked_at_and_what_would_be_shown_is_kept_once(paper: House) -> None:
    # given a channel that shows one piece of what there is more of
    assert (await publish_shelf.fn("shopify")).error == ""
    shop = platforms().shelf("shopify").shop
    rows = transact(lambda session: of_channel(session, "shopify", shop))
    sku, wanted = next((row.sku, row.wanted) for row in rows if row.wanted > 1)
    stock_shelves(paper.sandbox.world, {sku: 1}, ["shopify"])
    seen = {row.sku: None for row in rows} | {sku: 1}
    transact(lambda session: note_seen(session, "shopify", shop, seen, utcnow()))
    # when it is published twice
    for _ in range(2):
        published = await publish_shelf.fn("shopify")
        assert (published.on_paper, published.changes) == ([Change(sku, 1, wanted)], [])
        assert "本应改 1 个" in published.sentence
    # then the channel shows what it showed
    assert shown(paper.sandbox.world, "shopify", sku) == 1
    pushes = transact(lambda session: list(session.exec(select(ShadowPush))))
    assert [(one.sku, one.seen, one.shown) for one in pushes] == [(sku, 1, wanted)]


async def test_what_people_have_shipped_too_is_over(paper: House, prefect_server: RunningServer) -> None:
    order, made = await placed(paper), await placed(paper, Kind.MADE)
    for one in (order, made):
        await carry(one)
    now = utcnow()
    for one in (order, made):
        for _ in range(2):
            assert transact(lambda session, id=one.id: shipped_by_people(session, id or 0, now))
    # then what we would have shipped is over
    part = fulfilment_of(order)
    assert (part.stage, part.ready_at) == (Stage.CLOSED, None)
    shipped_at = transact(lambda session: people_shipped_at(session, order.id or 0))
    assert shipped_at == transact(lambda session: session.get_one(Order, order.id)).platform_updated_at
    # and what we would ship later goes on, and is over then
    assert fulfilment_of(made).stage == Stage.APPROVED
    batches_are_due()
    await carry(made)
    assert fulfilment_of(made).stage == Stage.CLOSED
    for one in (order, made):
        kinds = [row.kind for row in transact(lambda session, id=one.id: timeline(session, id or 0))]
        assert [kinds.count(kind) for kind in (EventKind.SHIPPED_BY_PEOPLE, EventKind.SHIPPED, EventKind.CLOSED)] == [
            1, 1, 1,
        ]  # fmt: skip
        assert await holds(one) == []


async def test_a_shadow_is_never_worked_on_live(paper: House) -> None:
    mine = await claim(await placed(paper))
    with people_at_work():
        with pytest.raises(BookMixed, match="影子模式"):
            await tell_once(mine, effect.WAYBILL, "waybill-live", lambda _: b"x", _never, lambda *_: None)
        published = await publish_shelf.fn("shopify")
        assert "BookMixed" in published.error
        with pytest.raises(BookMixed):
            transact(lambda session: open_book_as(session, False, utcnow()))
    assert transact(lambda session: session.exec(select(Effect).where(Effect.key == "waybill-live")).first()) is None
